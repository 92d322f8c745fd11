// What a stage chooses at random when it makes a batch: texts that are left out, noise, times.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "ttsft/io/safetensors.h"

namespace ttsft {

// Recorded draws (train.replay, eval.replay): a safetensors file of float32 tensors named
// `<id>.<name>`, or `<step>.<id>.<name>` for one training step alone, the first being step 1.
// Scalars have the shape [1], flags are 0 and 1.
class Replay {
 public:
  // DataError: no safetensors file, or a tensor of another type than float32.
  explicit Replay(const std::filesystem::path& file);

  // The tensor of the step where there is one, else that of the utterance; step 0: no step.
  // DataError when the file lacks it or when its shape is another. Any thread may ask.
  torch::Tensor at(int64_t step, const std::string& id, const std::string& name,
                   torch::IntArrayRef shape) const;

 private:
  SafetensorsReader reader_;
  std::string file_;
};

// nullptr for an empty path.
std::unique_ptr<Replay> open_replay(const std::filesystem::path& file);

// Of one batch. In training the seed is another in every batch; in evaluation an utterance draws by
// its id alone, so that neither its neighbours nor the order of a set can change its loss.
struct Draw {
  bool training = false;
  uint64_t seed = 0;  // counts in training only
  const Replay* replay = nullptr;
  int64_t step = 0;  // of training, from 1; 0: none

  // float32 of the shape on the CPU: the replay's, else what `make` makes with a generator that
  // belongs to this utterance and name alone.
  torch::Tensor tensor(const std::string& id, const std::string& name, torch::IntArrayRef shape,
                       const std::function<torch::Tensor(torch::Generator&)>& make) const;
  torch::Tensor uniform(const std::string& id, const std::string& name,
                        torch::IntArrayRef shape) const;  // in [0, 1)
  torch::Tensor normal(const std::string& id, const std::string& name,
                       torch::IntArrayRef shape) const;
  // Whether something with this probability happens: a flag of shape [1].
  bool happens(const std::string& id, const std::string& name, double probability) const;
};

}  // namespace ttsft
