#include "ttsft/nn/loss.h"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace ttsft {
namespace {

torch::Tensor chunk_logits(const torch::Tensor& hidden, const torch::Tensor& weight,
                           const torch::Tensor& bias) {
  return torch::linear(hidden, weight, bias).to(torch::kFloat32);
}

// The gradient of one row is (softmax - onehot) * g, so the backward pass needs the logits of one
// chunk at a time.
struct LinearCrossEntropy : torch::autograd::Function<LinearCrossEntropy> {
  static torch::autograd::variable_list forward(torch::autograd::AutogradContext* context,
                                                const torch::Tensor& hidden,
                                                const torch::Tensor& weight,
                                                const std::optional<torch::Tensor>& given_bias,
                                                const torch::Tensor& targets, bool want_correct,
                                                int64_t chunk) {
    const torch::Tensor bias = given_bias.value_or(torch::Tensor());
    const int64_t rows = hidden.size(0);
    const auto f32 = hidden.options().dtype(torch::kFloat32);
    torch::Tensor nll = torch::empty({rows}, f32), lse = torch::empty({rows}, f32);
    torch::Tensor correct =
        torch::empty({want_correct ? rows : 0}, hidden.options().dtype(torch::kBool));
    for (int64_t start = 0; start < rows; start += chunk) {
      const int64_t n = std::min(chunk, rows - start);
      const torch::Tensor logits =
          chunk_logits(hidden.narrow(0, start, n), weight, bias);  // [n, V]
      const torch::Tensor target = targets.narrow(0, start, n);
      const torch::Tensor part = logits.logsumexp(1);
      lse.narrow(0, start, n).copy_(part);
      nll.narrow(0, start, n).copy_(part - logits.gather(1, target.unsqueeze(1)).squeeze(1));
      if (want_correct) correct.narrow(0, start, n).copy_(logits.argmax(1) == target);
    }
    context->save_for_backward({hidden, weight, bias, targets, lse});
    context->saved_data["chunk"] = chunk;
    context->saved_data["need_hidden"] = hidden.requires_grad();
    context->saved_data["need_weight"] = weight.requires_grad();
    context->saved_data["need_bias"] = bias.defined() && bias.requires_grad();
    context->mark_non_differentiable({correct});
    return {nll, correct};
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list grads) {
    const auto saved = context->get_saved_variables();
    const torch::Tensor &hidden = saved[0], &weight = saved[1], &bias = saved[2],
                        &targets = saved[3], &lse = saved[4];
    const int64_t chunk = context->saved_data["chunk"].toInt(), rows = hidden.size(0);
    torch::Tensor grad_hidden, grad_weight, grad_bias;
    if (context->saved_data["need_hidden"].toBool()) grad_hidden = torch::empty_like(hidden);
    if (context->saved_data["need_weight"].toBool())
      grad_weight = torch::zeros(weight.sizes(), weight.options().dtype(torch::kFloat32));
    if (context->saved_data["need_bias"].toBool())
      grad_bias = torch::zeros(bias.sizes(), bias.options().dtype(torch::kFloat32));
    for (int64_t start = 0; start < rows; start += chunk) {
      const int64_t n = std::min(chunk, rows - start);
      const torch::Tensor h = hidden.narrow(0, start, n);
      torch::Tensor d = chunk_logits(h, weight, bias)
                            .sub_(lse.narrow(0, start, n).unsqueeze(1))
                            .exp_();  // softmax, [n, V]
      d.scatter_add_(1, targets.narrow(0, start, n).unsqueeze(1),
                     torch::full({n, 1}, -1.0, d.options()));
      d.mul_(grads[0].narrow(0, start, n).unsqueeze(1));
      if (grad_bias.defined()) grad_bias.add_(d.sum(0));
      const torch::Tensor typed = d.to(hidden.scalar_type());
      if (grad_hidden.defined()) grad_hidden.narrow(0, start, n).copy_(torch::mm(typed, weight));
      if (grad_weight.defined()) grad_weight.add_(torch::mm(typed.t(), h));
    }
    if (grad_weight.defined()) grad_weight = grad_weight.to(weight.scalar_type());
    if (grad_bias.defined()) grad_bias = grad_bias.to(bias.scalar_type());
    return {grad_hidden, grad_weight, grad_bias, torch::Tensor(), torch::Tensor(), torch::Tensor()};
  }
};

}  // namespace

int64_t cross_entropy_rows(int64_t vocabulary) {
  constexpr int64_t kBytes = int64_t{64} << 20;
  const auto row = static_cast<int64_t>(sizeof(float)) * std::max<int64_t>(1, vocabulary);
  return std::clamp<int64_t>(kBytes / row, 64, 4096);
}

TokenLoss linear_cross_entropy(const torch::Tensor& hidden, const torch::Tensor& weight,
                               const torch::Tensor& targets, bool want_correct, int64_t chunk) {
  return linear_cross_entropy(hidden, weight, torch::Tensor(), targets, want_correct, chunk);
}

TokenLoss linear_cross_entropy(const torch::Tensor& hidden, const torch::Tensor& weight,
                               const torch::Tensor& bias, const torch::Tensor& targets,
                               bool want_correct, int64_t chunk) {
  if (chunk == 0) chunk = cross_entropy_rows(weight.size(0));
  if (chunk < 1)
    throw std::logic_error("linear_cross_entropy: a chunk of " + std::to_string(chunk) + " rows");
  if (targets.dim() != 1 || targets.size(0) != hidden.size(0)) {
    throw std::logic_error("linear_cross_entropy: " + std::to_string(targets.numel()) +
                           " targets for " + std::to_string(hidden.size(0)) + " rows");
  }
  // Autograd takes no undefined tensor, but none at all.
  const auto maybe_bias = bias.defined() ? std::optional(bias) : std::nullopt;
  const auto out =
      LinearCrossEntropy::apply(hidden, weight, maybe_bias, targets, want_correct, chunk);
  return {out[0], want_correct ? out[1] : torch::Tensor()};
}

}  // namespace ttsft
