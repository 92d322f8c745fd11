// Eight optimizer steps beside upstream's modules under PyTorch's AdamW: what the models' tests of
// it share.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/support/test_device.h"
#include "ttsft/config/run_config.h"
#include "ttsft/io/tensor_file.h"
#include "ttsft/model/registry.h"
#include "ttsft/nn/weights.h"
#include "ttsft/train/train.h"

namespace ttsft::test {

// The settings that every fixture's trajectories were made with: all clips in one batch, in order.
inline void use_upstreams_settings(RunConfig& config, const std::string& method, int64_t clips) {
  config.device = test_device_name();
  config.precision = "fp32";
  config.data.validation.share = 0;
  config.train.method = method;
  config.train.steps = 8;
  config.train.batch_utterances = clips;
  config.train.batch_tokens.reset();
  config.train.shuffle = false;
  config.train.optimizer.learning_rate = 1e-3;
  config.train.checkpoint_every = 0;
  config.train.validate_every = 0;
}

// Training starts from adapter_init.safetensors of `expected`, made a PEFT folder at `init`.
inline void use_upstreams_adapter(RunConfig& config, const std::filesystem::path& expected,
                                  const std::filesystem::path& init) {
  std::filesystem::create_directories(init);
  std::filesystem::copy_file(expected / "adapter_init.safetensors",
                             init / "adapter_model.safetensors");
  std::filesystem::copy_file(expected / "adapter_config.json", init / "adapter_config.json");
  config.lora.rank = 4;
  config.lora.alpha = 8;
  config.lora.init_from = init;
}

// The steps in the run's metrics.jsonl.
inline std::vector<nlohmann::json> steps_of(const RunConfig& config) {
  std::vector<nlohmann::json> steps;
  std::ifstream in(config.run / "metrics.jsonl");
  for (std::string line; std::getline(in, line);) {
    auto row = nlohmann::json::parse(line);
    if (row.contains("loss")) steps.push_back(row);
  }
  return steps;
}

inline std::vector<nlohmann::json> train_steps(const RunConfig& config) {
  run_train(config, find_model(config.model), {});
  return steps_of(config);
}

// values[i][key] of all steps within a relative tolerance of wanted[i][their_key].
inline void expect_steps(const std::vector<nlohmann::json>& steps, const std::string& key,
                         const nlohmann::json& wanted, const std::string& their_key,
                         double relative) {
  ASSERT_EQ(steps.size(), 8u);
  for (size_t i = 0; i < steps.size(); ++i) {
    const double value = wanted[i][their_key];
    EXPECT_NEAR(steps[i][key].get<double>(), value, relative * value) << key << " " << i + 1;
  }
}

// A tensor of a written file by a name as the fixtures have it: "name[a:b]" holds those rows only.
inline torch::Tensor written_tensor(const TensorFile& file, const TensorView& wanted) {
  const size_t bracket = wanted.name.find('[');
  const torch::Tensor value = copy_tensor(file.at(wanted.name.substr(0, bracket)));
  if (bracket == std::string::npos) return value;
  return value.narrow(0, std::stol(wanted.name.substr(bracket + 1)), wanted.shape[0]);
}

}  // namespace ttsft::test
