// Ids, cleaning, prompts and turns against upstream's.
#include "models/fish_s2_pro/text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "models/fish_s2_pro/prompt.h"
#include "tests/models/fish_s2_pro/fish_fixture.h"

namespace ttsft::fish_s2_pro::test {
namespace {

using Ids = std::vector<int64_t>;
using ::testing::ElementsAre;

const Tokenizer& tokenizer() {
  static const Tokenizer made(fixture().path("checkpoint"));
  return made;
}

Ids chat_prompt(const std::string& words) {
  PromptBuilder prompt(tokenizer());
  prompt.system({});
  prompt.user(words);
  prompt.assistant();
  return prompt.take().tokens;
}

TEST(Text, IdsCleaningAndPromptsAreUpstreams) {
  for (const auto& one : expected_json("text")["strings"]) {
    const std::string text = one["text"];
    EXPECT_EQ(tokenizer().encode(text), one["ids"].get<Ids>()) << text;
    EXPECT_EQ(clean_text(text), one["clean_text"].get<std::string>()) << text;
    EXPECT_EQ(packed_text(text, /*keep_tags=*/false), one["build_dataset_clean"].get<std::string>())
        << text;
    EXPECT_EQ(chat_prompt(text), one["chat_prompt_ids"].get<Ids>()) << text;
  }
}

TEST(Text, SpecialIdsComeFromTheFile) {
  const auto& json = expected_json("text");
  for (const auto& [token, id] : json["special_ids"].items())
    EXPECT_EQ(tokenizer().encode(token), Ids{id.get<int64_t>()}) << token;
  EXPECT_EQ(tokenizer().semantic_begin(), json["semantic_begin_id"].get<int64_t>());
  EXPECT_EQ(tokenizer().semantic_codes(), 4096);
}

TEST(Text, APromptWithAReferenceIsUpstreams) {
  const auto& one = expected_json("text")["chat_prompt_with_reference"];
  PromptBuilder prompt(tokenizer());
  prompt.system({{one["ref_text"], clip_codes("ref")}});
  prompt.user(one["text"]);
  prompt.assistant();
  const Columns columns = prompt.take();
  const auto rows = one["rows"].get<std::vector<Ids>>();
  EXPECT_EQ(columns.tokens, rows[0]);
  torch::Tensor codes = torch::zeros({10, columns.size()}, torch::kInt64);
  codes.index_copy_(1, torch::tensor(columns.frame_at), columns.codes().t());
  for (int64_t level = 0; level < 10; ++level)
    expect_equal(codes[level], torch::tensor(rows[static_cast<size_t>(level) + 1]));
}

TEST(Text, TurnsAreUpstreams) {
  for (const auto& one : expected_json("synth")["split_cases"]) {
    const std::string text = one["text"];
    const auto bytes = one["max_bytes"].get<int64_t>();
    EXPECT_EQ(split_turns(text, /*keep_lead=*/false), one["turns"].get<std::vector<std::string>>());
    EXPECT_EQ(turn_batches(text, bytes, false), one["batches"].get<std::vector<std::string>>());
  }
  const auto& turns = expected_json("synth")["turns"];
  EXPECT_EQ(turn_batches(turns["text"], turns["chunk_length"], true),
            turns["batches"].get<std::vector<std::string>>());
}

TEST(Text, WhatStandsBeforeTheFirstTagIsSpoken) {
  EXPECT_THAT(split_turns("intro <|speaker:1|> one", true),
              ElementsAre("<|speaker:0|>intro", "<|speaker:1|> one"));
}

TEST(Text, TagsSurvivePackingWhereTheyAreKept) {
  EXPECT_EQ(
      packed_text("<|speaker:0|>a <b> {c} <|phoneme_start|>HH<|phoneme_end|> <|im_end|>", true),
      "<|speaker:0|>a <|phoneme_start|>HH<|phoneme_end|> ");
  EXPECT_EQ(spelled_tags("<speaker:12>hello"), "<|speaker:12|>hello");
  EXPECT_EQ(with_speaker_tag("hello"), "<|speaker:0|>hello");
  EXPECT_EQ(with_speaker_tag("<|speaker:3|>hello"), "<|speaker:3|>hello");
}

TEST(Text, ControlTokensAreFound) {
  EXPECT_THAT(control_tokens_in("a <|im_end|> b <|semantic:7|> <|speaker:0|> <|phoneme_start|>"),
              ElementsAre("<|im_end|>", "<|semantic:7|>"));
  EXPECT_THAT(control_tokens_in("x < y and a|b > c"), ElementsAre());
}

}  // namespace
}  // namespace ttsft::fish_s2_pro::test
