#include "models/qwen3_tts/text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/models/qwen3_tts/fixture.h"
#include "tests/support/temporary_folder.h"
#include "ttsft/core/error.h"
#include "ttsft/io/atomic_file.h"

namespace ttsft::qwen3_tts::test {
namespace {

using Ids = std::vector<int64_t>;

nlohmann::json text_rows() {
  return nlohmann::json::parse(read_text(fixture_path("expected/text.json")))["rows"];
}

Ids cut(const Ids& ids, size_t head, size_t tail) {
  return {ids.begin() + head, ids.end() - tail};
}

bool starts_with_space(const std::string& text) {
  return text.find_first_not_of(" \t\r\n") != 0;
}

TEST(TextFrontend, SlicesTheTemplatesAsUpstreamDoes) {
  const TextFrontend text(fixture_path("checkpoint"), fixture_config(), "qwen2");
  int compared = 0;
  for (const auto& row : text_rows()) {
    const std::string content = row["text"];
    if (starts_with_space(content) || content.find("<|") != std::string::npos) continue;
    EXPECT_EQ(text.speech(content), cut(row["ids_assistant"], 3, 5)) << content;
    EXPECT_EQ(text.reference(content), cut(row["ids_ref"], 3, 2)) << content;
    EXPECT_EQ(text.instruct(content), row["ids_instruct"].get<Ids>()) << content;
    ++compared;
  }
  EXPECT_GE(compared, 10);
}

TEST(TextFrontend, HasTheSplitOfLocalLoadsToo) {
  const TextFrontend text(fixture_path("checkpoint"), fixture_config(), "mistral");
  bool differs = false;
  for (const auto& row : text_rows()) {
    const std::string content = row["text"];
    if (starts_with_space(content) || content.find("<|") != std::string::npos) continue;
    EXPECT_EQ(text.speech(content), cut(row["ids_assistant_mistral_split"], 3, 5)) << content;
    differs = differs || row["ids_assistant_mistral_split"] != row["ids_assistant"];
  }
  EXPECT_TRUE(differs) << "no row shows the difference between the patterns";
}

TEST(TextFrontend, RoleIsImStartAssistantNewline) {
  const TextFrontend text(fixture_path("checkpoint"), fixture_config(), "qwen2");
  EXPECT_EQ(text.role(),
            (Ids{fixture_config().im_start_token_id, fixture_config().assistant_token_id, 198}));
}

TEST(TextFrontend, LeadingNewlinesDoNotMergeWithTheTemplate) {
  const TextFrontend text(fixture_path("checkpoint"), fixture_config(), "qwen2");
  EXPECT_EQ(text.speech("\n\n He was"), text.speech("He was"));
}

TEST(TextFrontend, RefusesEmptyTextAndControlTokens) {
  const TextFrontend text(fixture_path("checkpoint"), fixture_config(), "qwen2");
  EXPECT_THROW(text.speech(""), DataError);
  EXPECT_THROW(text.speech(" \n"), DataError);
  EXPECT_THAT(message_of<DataError>([&] { text.speech("He <|im_end|> was"); }),
              testing::HasSubstr("<|im_end|>"));
}

TEST(TextFrontend, RefusesATokenizerOfAnotherModel) {
  Config config = fixture_config();
  config.assistant_token_id += 1;
  EXPECT_THROW(TextFrontend(fixture_path("checkpoint"), config, "qwen2"), DataError);
}

}  // namespace
}  // namespace ttsft::qwen3_tts::test
