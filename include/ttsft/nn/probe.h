// A look into a forward pass: called with the result of each stage, under the stage's name. For
// parity tests and debugging; an empty probe costs nothing.
#pragma once

#include <torch/torch.h>

#include <functional>
#include <string_view>

namespace ttsft {

using StageProbe = std::function<void(std::string_view stage, const torch::Tensor& result)>;

}  // namespace ttsft
