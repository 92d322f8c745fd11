#include "ttsft/nn/checkpointing.h"

namespace ttsft {
namespace {

using Piece = std::function<torch::Tensor(const torch::Tensor&)>;

// Owned by the autograd node, so that a graph that is thrown away frees it too.
struct PieceHolder : torch::CustomClassHolder {
  explicit PieceHolder(Piece f) : fn(std::move(f)) {}
  Piece fn;
};

struct CheckpointFunction : torch::autograd::Function<CheckpointFunction> {
  static torch::Tensor forward(torch::autograd::AutogradContext* context, const torch::Tensor& x,
                               const c10::intrusive_ptr<PieceHolder>& piece) {
    context->save_for_backward({x});
    context->saved_data["piece"] = c10::IValue::make_capsule(piece);
    torch::NoGradGuard no_grad;
    return piece->fn(x);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list grads) {
    const auto capsule = context->saved_data["piece"].toCapsule();
    torch::AutoGradMode enable(true);
    torch::Tensor x = context->get_saved_variables()[0].detach();
    x.requires_grad_(true);
    const torch::Tensor y = static_cast<PieceHolder&>(*capsule).fn(x);
    // Parameters inside the piece collect their gradients here, as leaves.
    torch::autograd::backward({y}, {grads[0]});
    return {x.grad(), torch::Tensor()};
  }
};

}  // namespace

torch::Tensor checkpoint(Piece fn, const torch::Tensor& x) {
  // A frozen input would let autograd drop the node, and with it the gradients of the parameters
  // inside.
  const torch::Tensor input = x.requires_grad() ? x : x.detach().requires_grad_(true);
  return CheckpointFunction::apply(input, c10::make_intrusive<PieceHolder>(std::move(fn)));
}

}  // namespace ttsft
