#include "ttsft/io/peft.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/temporary_folder.h"
#include "ttsft/core/error.h"
#include "ttsft/io/atomic_file.h"
#include "ttsft/io/safetensors.h"

namespace ttsft {
namespace {

using nlohmann::ordered_json;
using ::testing::HasSubstr;

const std::filesystem::path kExpected =
    std::filesystem::path(TTSFT_FIXTURES) / "qwen3_tts" / "expected";

ordered_json fixture_config() {
  return ordered_json::parse(read_text(kExpected / "adapter_config.json"));
}

PeftConfig read(const ordered_json& content) {
  const TemporaryFolder folder;
  folder.write("adapter_config.json", content.dump());
  return read_peft_config(folder.path());
}

TEST(PeftConfig, ReadsWhatPeftWrote) {
  const PeftConfig config = read_peft_config(kExpected);
  EXPECT_EQ(config.r, 4);
  EXPECT_EQ(config.lora_alpha, 8);
  EXPECT_EQ(config.lora_dropout, 0);
  EXPECT_EQ(config.base_model_name_or_path, "checkpoint");
  EXPECT_EQ(config.task_type, "CAUSAL_LM");
  EXPECT_EQ(config.target_modules.endings.size(), 7u);
  EXPECT_DOUBLE_EQ(config.scaling(), 2);
}

TEST(PeftConfig, WritesTheSameTextAsPeft) {
  const PeftConfig config = read_peft_config(kExpected);
  EXPECT_EQ(peft_config_json(config).dump(1), fixture_config().dump(1));
}

TEST(PeftConfig, EveryValueSurvivesARoundTrip) {
  PeftConfig config;
  config.r = 16;
  config.lora_alpha = 22.5;
  config.lora_dropout = 0.05;
  config.use_rslora = true;
  config.fan_in_fan_out = true;
  config.target_modules.regex = R"(.*\.(q|k)_proj)";
  config.base_model_name_or_path = "";
  config.task_type = "";
  const ordered_json written = peft_config_json(config);
  EXPECT_TRUE(written["base_model_name_or_path"].is_null());
  EXPECT_TRUE(written["task_type"].is_null());
  const PeftConfig again = read(written);
  EXPECT_EQ(again.r, 16);
  EXPECT_EQ(again.lora_alpha, 22.5);
  EXPECT_EQ(again.lora_dropout, 0.05);
  EXPECT_TRUE(again.fan_in_fan_out);
  EXPECT_EQ(again.target_modules, config.target_modules);
  EXPECT_EQ(again.task_type, "");
  EXPECT_DOUBLE_EQ(again.scaling(), 22.5 / 4);
}

TEST(PeftConfig, ReadsAMinimalFileAndHarmlessOptions) {
  EXPECT_EQ(read({{"peft_type", "LORA"}, {"target_modules", {"q_proj"}}}).r, 8);
  ordered_json content = fixture_config();
  content["init_lora_weights"] = "gaussian";
  content["auto_mapping"] = {{"base_model_class", "X"}};
  content["corda_config"] = {{"x", 1}};
  content["future_option"] = nullptr;
  EXPECT_EQ(read(content).r, 4);
}

TEST(PeftConfig, RefusesByNameWhatIsNotApplied) {
  const std::vector<std::pair<std::string, ordered_json>> cases = {
      {"peft_type", "IA3"},
      {"use_dora", true},
      {"use_qalora", true},
      {"use_bdlora", {{"x", 1}}},
      {"rank_pattern", {{"q_proj", 8}}},
      {"alpha_pattern", {{"q_proj", 8}}},
      {"bias", "all"},
      {"modules_to_save", {"lm_head"}},
      {"layers_to_transform", {1, 2}},
      {"layers_to_transform", 0},
      {"layers_pattern", "layers"},
      {"layer_replication", {{0, 2}}},
      {"lora_bias", true},
      {"trainable_token_indices", {1}},
      {"exclude_modules", {"q_proj"}},
      {"exclude_modules", "q.*"},
      {"target_parameters", {"experts"}},
      {"alora_invocation_tokens", {1}},
      {"megatron_config", {{"x", 1}}},
      {"init_lora_weights", "pissa"},
      {"some_future_option", true},
      {"r", 0},
      {"r", "4"},
      {"r", 4.5},
      {"lora_alpha", "8"},
      {"lora_dropout", 1.0},
      {"use_rslora", 1},
      {"target_modules", ordered_json::array()},
      {"target_modules", {1}},
      {"target_modules", 1},
      {"target_modules", "all-linear"},
      {"target_modules", "q_proj("},
      {"base_model_name_or_path", 1}};
  for (const auto& [key, value] : cases) {
    ordered_json content = fixture_config();
    content[key] = value;
    const std::string message = message_of<DataError>([&] { read(content); });
    EXPECT_THAT(message, HasSubstr(key)) << value;
    EXPECT_THAT(message, HasSubstr("adapter_config.json")) << value;
  }
}

TEST(PeftConfig, RefusesFilesThatAreNoConfig) {
  for (const std::string text : {"", "[]", "{", "{}", R"({"peft_type": "LORA"})"}) {
    const TemporaryFolder folder;
    folder.write("adapter_config.json", text);
    EXPECT_THAT(message_of<DataError>([&] { read_peft_config(folder.path()); }),
                HasSubstr("adapter_config.json"))
        << text;
  }
  EXPECT_THROW(read_peft_config("/nonexistent"), DataError);
}

TEST(LoraTargets, EndingsMatchWholeNames) {
  const LoraTargets targets{{"q_proj", "mlp.down_proj"}, ""};
  EXPECT_TRUE(matches(targets, "q_proj"));
  EXPECT_TRUE(matches(targets, "model.layers.0.self_attn.q_proj"));
  EXPECT_TRUE(matches(targets, "layers.0.mlp.down_proj"));
  EXPECT_FALSE(matches(targets, "layers.0.attn.seq_proj"));
  EXPECT_FALSE(matches(targets, "layers.0.down_proj"));
  EXPECT_FALSE(matches(targets, "q_proj.base"));
}

TEST(LoraTargets, ARegexMatchesThePathInFull) {
  const LoraTargets some{{"ignored"}, R"(talker\..*(?<!code_)proj|norm)"};
  EXPECT_TRUE(matches(some, "talker.layers.0.q_proj"));
  EXPECT_TRUE(matches(some, "norm"));
  EXPECT_FALSE(matches(some, "a.talker.layers.0.q_proj"));
  EXPECT_FALSE(matches(some, "talker.layers.0.q_proj.weight"));
  EXPECT_FALSE(matches(some, "talker.code_proj"));
  EXPECT_FALSE(matches(some, "ignored"));
  EXPECT_TRUE(matches({{}, "a|ab"}, "ab"));  // re.fullmatch tries every branch
  EXPECT_THAT(message_of<UsageError>([] { matches({{}, "(q"}, "q"); }), HasSubstr("'(q'"));
  EXPECT_THROW(matches({{}, "(?:a|aa)+[b-d]"}, std::string(64, 'a') + "!b!"), UsageError);
}

TEST(PeftName, IsInvertedForEveryTensorOfAnAdapter) {
  const auto adapter = SafetensorsReader::open(kExpected / "adapter_init.safetensors");
  ASSERT_FALSE(adapter.tensors().empty());
  for (const TensorView& tensor : adapter.tensors()) {
    const auto name = parse_peft_name(tensor.name);
    ASSERT_TRUE(name) << tensor.name;
    EXPECT_EQ(peft_name(name->module_path, name->ab), tensor.name);
  }
  EXPECT_EQ(peft_name("talker.q_proj", 'A'), "base_model.model.talker.q_proj.lora_A.weight");
}

TEST(PeftName, EmbeddingsHaveNamesOfTheirOwn) {
  EXPECT_EQ(peft_name("embeddings", 'A', true), "base_model.model.embeddings.lora_embedding_A");
  const auto name = parse_peft_name("base_model.model.fast.embeddings.lora_embedding_B");
  ASSERT_TRUE(name);
  EXPECT_EQ(name->module_path, "fast.embeddings");
  EXPECT_EQ(name->ab, 'B');
  EXPECT_TRUE(name->embeds);
  EXPECT_FALSE(parse_peft_name("base_model.model.embeddings.lora_embedding_A.weight"));
}

TEST(PeftName, OtherNamesAreNone) {
  for (const std::string name :
       {"talker.q_proj.lora_A.weight", "base_model.model.q_proj.weight", "",
        "base_model.model.lora_A.weight", "base_model.model.q.lora_A.default.weight",
        "base_model.model..lora_A.weight", "base_model.model.q.lora_C.weight"}) {
    EXPECT_FALSE(parse_peft_name(name)) << name;
  }
}

TEST(AdapterFolder, IsKnownByItsConfig) {
  const TemporaryFolder folder;
  EXPECT_FALSE(is_adapter_folder(folder.path()));
  folder.write("adapter_config.json", "{}");
  EXPECT_TRUE(is_adapter_folder(folder.path()));
}

}  // namespace
}  // namespace ttsft
