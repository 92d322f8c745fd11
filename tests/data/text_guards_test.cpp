#include "ttsft/data/text_guards.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ttsft {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<std::string> findings(const std::string& text,
                                  const std::vector<std::string>& own = {}) {
  std::vector<std::string> names;
  for (const Finding& finding : TextGuards(own).check(text, GuardPolicy()))
    names.push_back(finding.guard);
  return names;
}

TEST(TextGuards, ProseIsLeftAlone) {
  for (const char* text :
       {"He said (quietly): \"No.\" It cost 5 < 6 & more!", "你好，世界。", "Hôtel, 3.50 € – ok?",
        "It's 4*5 and snake_case or a_b; C# and #1", "مرحبا", "Yes; no & maybe; fine"})
    EXPECT_THAT(findings(text), IsEmpty()) << text;
}

TEST(TextGuards, WhatNobodyCanPronounceIsRefused) {
  for (const char* text : {"...", "— !?", "♪♪", "。"}) {
    const auto found = TextGuards({}).check(text, GuardPolicy());
    ASSERT_FALSE(found.empty()) << text;
    EXPECT_EQ(found[0].guard, "text_unspoken") << text;
    EXPECT_EQ(found[0].action, GuardAction::kRefuse);
  }
}

TEST(TextGuards, WhatNobodySeesIsNamed) {
  for (const char* text : {"a\x01z", "a\u200Bz", "a\u202Ez", "\uFEFFaz", "a\u00ADz", "a\uFFFDz"})
    EXPECT_THAT(findings(text), ElementsAre("text_control")) << text;
  EXPECT_THAT(TextGuards({}).check("a\u202Ez", GuardPolicy())[0].message, HasSubstr("U+202E"));
}

TEST(TextGuards, WhatWouldBeReadAloudIsShown) {
  for (const char* text : {"a <b>bold</b> word", "Tom &amp; Jerry", "see https://example.org/x",
                           "so **very** good", "a [link](http)", "# Title", "{\\an8}Hello",
                           "[laughs] no", "<|im_start|>x", "x&#39;s", "`code`", "__so__"})
    EXPECT_THAT(findings(text), ElementsAre("text_markup")) << text;
  EXPECT_THAT(TextGuards({}).check("Tom &amp; Jerry", GuardPolicy())[0].message,
              HasSubstr("&amp;"));
}

TEST(TextGuards, AModelsOwnMarksAreItsOwn) {
  EXPECT_THAT(findings("[laugh] no", {"\\[[^\\]]*\\]"}), IsEmpty());
  EXPECT_THAT(findings("[laugh] <b>no</b>", {"\\[[^\\]]*\\]"}), ElementsAre("text_markup"));
}

TEST(TextGuards, ThePolicyMovesThem) {
  GuardPolicy policy;
  policy.set("text_markup", "off");
  policy.set("text_unspoken", "warn");
  EXPECT_THAT(TextGuards({}).check("<b>a</b>", policy), IsEmpty());
  EXPECT_EQ(TextGuards({}).check("...", policy)[0].action, GuardAction::kWarn);
}

TEST(SpokenLength, CountsLettersAndSyllables) {
  EXPECT_EQ(spoken_length("Ab, 3!"), 3);
  EXPECT_EQ(spoken_length("你好。"), 6);
  EXPECT_EQ(spoken_length("..."), 0);
}

}  // namespace
}  // namespace ttsft
