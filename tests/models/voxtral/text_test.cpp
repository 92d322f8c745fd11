// Ids and prompts against upstream's.
#include "models/voxtral/text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "models/voxtral/voices.h"
#include "tests/models/voxtral/voxtral_fixture.h"

namespace ttsft::voxtral::test {
namespace {

using Ids = std::vector<int64_t>;

const Tokenizer& tokenizer() {
  static const Tokenizer made(checkpoint());
  return made;
}

// With [AUDIO] where a row of the voice stands, as upstream counts it.
Ids prompt_ids(int64_t rows, const Ids& text) {
  const Prompt& prompt = tokenizer().prompt();
  Ids ids = prompt.before_voice();
  ids.insert(ids.end(), static_cast<size_t>(rows), prompt.audio);
  for (const int64_t id : prompt.behind_voice(text)) ids.push_back(id);
  EXPECT_EQ(std::ssize(ids), prompt.size(rows, std::ssize(text)));
  return ids;
}

TEST(Text, IdsAndPromptsAreUpstreams) {
  const Config config = read_config(checkpoint());
  ASSERT_GE(expected_json("text")["items"].size(), 12u);
  for (const auto& one : expected_json("text")["items"]) {
    const std::string text = one["text"];
    const Ids ids = tokenizer().encode(text);
    EXPECT_EQ(ids, one["ids"].get<Ids>()) << text;
    const int64_t rows = read_voice(checkpoint(), config, one["voice"]).size(0);
    EXPECT_EQ(prompt_ids(rows, ids), one["prompt_ids"].get<Ids>()) << text;
  }
}

TEST(Text, ARecordingHasARowForEachFrameAndOneThatEndsIt) {
  const auto& one = expected_json("text")["ref_audio"];
  const int64_t rows = clip_codes("ref").size(0) + 1;
  EXPECT_EQ(prompt_ids(rows, tokenizer().encode(one["text"])), one["prompt_ids"].get<Ids>());
}

TEST(Text, SpecialTokensAreNamedByTheFile) {
  const Prompt& prompt = tokenizer().prompt();
  EXPECT_EQ(prompt.begin, 1);
  EXPECT_EQ(prompt.audio, 24);
  EXPECT_EQ(prompt.begin_audio, 25);
  EXPECT_EQ(prompt.speech_follows, 35);
  EXPECT_EQ(prompt.text_follows, 36);
  EXPECT_EQ(voice_sizes(checkpoint()).at("neutral_female"), 11);
}

}  // namespace
}  // namespace ttsft::voxtral::test
