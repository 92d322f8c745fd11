#include "ttsft/model/stepwise.h"

#include <vector>

namespace ttsft {

torch::Tensor stepwise_logits(const torch::Tensor& inputs, int64_t prompt,
                              const std::function<torch::Tensor(const torch::Tensor&)>& forward,
                              const std::function<torch::Tensor(const torch::Tensor&)>& logits) {
  std::vector<torch::Tensor> rows;
  const auto look = [&](const torch::Tensor& hidden) {
    rows.push_back(logits(hidden.select(1, hidden.size(1) - 1)).to(torch::kFloat32));
  };
  look(forward(inputs.narrow(1, 0, prompt)));
  for (int64_t place = prompt; place < inputs.size(1); ++place)
    look(forward(inputs.narrow(1, place, 1)));
  return torch::cat(rows);
}

}  // namespace ttsft
