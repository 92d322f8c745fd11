// Numbers on their way from the device: asked for now, read later, so that nothing waits for them.
#pragma once

#include <c10/core/Event.h>
#include <torch/torch.h>

#include <optional>
#include <vector>

namespace ttsft {

class Readback {
 public:
  explicit Readback(const torch::Tensor& values);  // float64 [n]; starts the copy
  std::vector<double> wait();                      // until the device has come to this point

 private:
  torch::Tensor host_;
  std::optional<c10::Event> done_;  // without one the values are there already
};

}  // namespace ttsft
