// A run of the toy model in a folder of its own.
#pragma once

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "src/train/metrics.h"
#include "support/temporary_folder.h"
#include "support/tensor_test.h"
#include "support/toy_stage.h"
#include "ttsft/model/checkpoint.h"
#include "ttsft/train/optimizer.h"
#include "ttsft/train/train.h"

namespace ttsft::test {

struct ToyRun {
  explicit ToyRun(const std::vector<int64_t>& lengths = {4, 6, 5, 7, 4, 6},
                  int64_t validation = 0) {
    torch::set_num_threads(1);  // waking more takes longer than all the arithmetic of the toy
    write_toy_checkpoint(folder / "base");
    write_toy_set(folder / "set", lengths, validation);
    config.model = "toy";
    config.checkpoint = folder / "base";
    config.run = folder / "run";
    config.data.prepared = folder / "set";
    config.data.validation.share = 0;
    config.device = "cpu";
    config.train.steps = 3;
    config.train.batch_utterances = 2;
    config.train.optimizer.learning_rate = 0.01;
    config.lora.rank = 2;
    config.lora.alpha = 4;
    config.lora.targets.endings = {"q_proj", "up_proj"};
  }

  nlohmann::ordered_json train(const TrainOptions& options = {}) {
    return run_train(config, adapter, options);
  }

  std::vector<nlohmann::ordered_json> rows(bool validation = false) const {
    std::vector<nlohmann::ordered_json> chosen;
    for (const auto& row : read_metrics(config.run)) {
      if (row.contains("loss") != validation) chosen.push_back(row);
    }
    return chosen;
  }

  std::filesystem::path checkpoint(int64_t step) const {
    return config.run / "checkpoints" / step_folder_name(step);
  }

  std::set<std::string> checkpoint_names() const {
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(config.run / "checkpoints")) {
      names.insert(entry.path().filename());
    }
    return names;
  }

  TemporaryFolder folder;
  RunConfig config;
  ToyAdapter adapter;
};

inline NamedTensors read_tensors(const std::filesystem::path& file) {
  NamedTensors named;
  const auto reader = SafetensorsReader::open(file);
  for (const TensorView& view : reader.tensors()) named.emplace_back(view.name, copy_tensor(view));
  return named;
}

// Equal names and values; tolerance 0: bit for bit.
inline void expect_same_tensors(const std::filesystem::path& a, const std::filesystem::path& b,
                                double tolerance = 0) {
  const NamedTensors left = read_tensors(a), right = read_tensors(b);
  ASSERT_EQ(left.size(), right.size());
  for (size_t i = 0; i < left.size(); ++i) {
    ASSERT_EQ(left[i].first, right[i].first);
    expect_close(left[i].second, right[i].second, tolerance, left[i].first);
  }
}

}  // namespace ttsft::test
