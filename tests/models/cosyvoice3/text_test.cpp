// Ids and normalised segments against upstream's.
#include "models/cosyvoice3/text.h"

#include <gtest/gtest.h>

#include "models/cosyvoice3/special_tokens.h"
#include "tests/models/cosyvoice3/cosyvoice3_fixture.h"

namespace ttsft::cosyvoice3::test {
namespace {

using Ids = std::vector<int64_t>;

const TextFrontend& frontend() {
  static const TextFrontend text(fixture().path("checkpoint"));
  return text;
}

TEST(Text, IdsAndSegmentsAreUpstreams) {
  for (const auto& one : expected_json("text")["cases"]) {
    const std::string text = one["text"];
    EXPECT_EQ(frontend().encode(text), one["raw_ids"].get<Ids>()) << text;
    const auto segments = frontend().segments(text, /*keep_special_tokens=*/false);
    EXPECT_EQ(segments, one["normalized"].get<std::vector<std::string>>()) << text;
    for (size_t i = 0; i < segments.size(); ++i)
      EXPECT_EQ(frontend().encode(segments[i]), one["segments_ids"][i].get<Ids>()) << segments[i];
  }
}

TEST(Text, SpecialTokensFollowTheHighestId) {
  EXPECT_EQ(special_tokens().size(), 278u);
  for (const auto& [token, id] : expected_json("text")["special"].items())
    EXPECT_EQ(frontend().encode(token), Ids{id.get<int64_t>()}) << token;
  EXPECT_EQ(frontend().end_of_prompt(), expected_json("text")["endofprompt_id"].get<int64_t>());
}

TEST(Text, DigitsInsideTokensStayByDefault) {
  EXPECT_EQ(frontend().segments("say [AA1] 2 times", true),
            std::vector<std::string>{"say [AA1] two times."});
  EXPECT_EQ(frontend().segments("say [AA1] 2 times", false),
            std::vector<std::string>{"say [AAone] two times."});
}

TEST(Text, WhatSaysNothingIsNoSegment) {
  EXPECT_TRUE(frontend().segments("   ", true).empty());
  EXPECT_TRUE(frontend().segments("?!", true).empty());
  EXPECT_EQ(frontend().segments("\"Stop.\" he said", true),
            std::vector<std::string>{"\"Stop.\" he said."});
  EXPECT_EQ(frontend().segments(".\" and", true), std::vector<std::string>{"\" and."});
}

TEST(Text, PromptsEndOnce) {
  EXPECT_EQ(TextFrontend::with_prompt("hi"), "You are a helpful assistant.<|endofprompt|>hi");
  EXPECT_EQ(TextFrontend::with_prompt("a<|endofprompt|>hi"), "a<|endofprompt|>hi");
  EXPECT_EQ(TextFrontend::instruction("Be loud."),
            "You are a helpful assistant. Be loud.<|endofprompt|>");
  EXPECT_EQ(TextFrontend::instruction(""), "You are a helpful assistant.<|endofprompt|>");
  EXPECT_EQ(TextFrontend::instruction("Mine<|endofprompt|>"), "Mine<|endofprompt|>");
}

TEST(NumberWords, AreInflects) {
  for (const auto& [digits, words] : std::vector<std::pair<std::string, std::string>>{
           {"0", "zero"},
           {"000", "zero"},
           {"7", "seven"},
           {"020", "twenty"},
           {"21", "twenty-one"},
           {"100", "one hundred"},
           {"115", "one hundred and fifteen"},
           {"1000", "one thousand"},
           {"1001", "one thousand and one"},
           {"1100", "one thousand, one hundred"},
           {"12345", "twelve thousand, three hundred and forty-five"},
           {"1000001", "one million and one"},
           {"1002003", "one million, two thousand and three"},
           {"4000000000", "four billion"}})
    EXPECT_EQ(number_words(digits), words) << digits;
  EXPECT_EQ(number_words(std::string(37, '1')).substr(0, 11), "one one one");
}

}  // namespace
}  // namespace ttsft::cosyvoice3::test
