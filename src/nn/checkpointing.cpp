#include "ttsft/nn/checkpointing.h"

#include <mutex>
#include <utility>
#include <vector>

namespace ttsft {
namespace {

using Piece = std::function<torch::Tensor(const torch::Tensor&, const torch::Tensor&)>;

// True while this thread runs a piece for the second time.
thread_local bool recomputing = false;

torch::Generator default_generator(torch::Device device) {
  return at::globalContext().defaultGenerator(device);
}

torch::Tensor state_of(torch::Device device) {
  torch::Generator generator = default_generator(device);
  const std::lock_guard lock(generator.mutex());
  return generator.get_state();
}

void set_state(torch::Device device, const torch::Tensor& state) {
  torch::Generator generator = default_generator(device);
  const std::lock_guard lock(generator.mutex());
  generator.set_state(state);
}

// The states of the generators that a piece on this device may draw from. They are numbers on the
// host for CUDA too, so nothing waits.
struct RandomState {
  static RandomState now(torch::Device device) {
    RandomState state;
    for (const torch::Device d : {torch::Device(torch::kCPU), device}) {
      const bool has_generator = d.is_cpu() || d.is_cuda();
      if (!has_generator || (d.is_cpu() && !state.states.empty())) continue;
      state.states.emplace_back(d, state_of(d));
    }
    return state;
  }
  void restore() const {
    for (const auto& [device, state] : states) set_state(device, state);
  }
  std::vector<std::pair<torch::Device, torch::Tensor>> states;
};

// What the second run happens under: the first one's random state, and afterwards all as it was.
class Replay {
 public:
  Replay(const RandomState& first, torch::Device device)
      : before_(RandomState::now(device)), outer_(std::exchange(recomputing, true)) {
    first.restore();
  }
  ~Replay() {
    recomputing = outer_;
    before_.restore();
  }
  Replay(const Replay&) = delete;
  Replay& operator=(const Replay&) = delete;

 private:
  RandomState before_;
  bool outer_;
};

// Owned by the autograd node, so that a graph that is thrown away frees it too.
struct PieceHolder : torch::CustomClassHolder {
  explicit PieceHolder(Piece f) : fn(std::move(f)) {}
  Piece fn;
  RandomState random;
};

struct CheckpointFunction : torch::autograd::Function<CheckpointFunction> {
  static torch::Tensor forward(torch::autograd::AutogradContext* context, const torch::Tensor& x,
                               const torch::Tensor& shared,
                               const c10::intrusive_ptr<PieceHolder>& piece) {
    context->save_for_backward({x, shared});
    context->saved_data["piece"] = c10::IValue::make_capsule(piece);
    piece->random = RandomState::now(x.device());
    torch::NoGradGuard no_grad;
    return piece->fn(x, shared);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list grads) {
    const auto capsule = context->saved_data["piece"].toCapsule();
    auto& piece = static_cast<PieceHolder&>(*capsule);
    torch::AutoGradMode enable(true);
    const auto saved = context->get_saved_variables();
    torch::Tensor x = saved[0].detach(), shared = saved[1];
    x.requires_grad_(true);
    shared = shared.detach().requires_grad_(saved[1].requires_grad());
    const torch::Tensor y = [&] {
      const Replay replay(piece.random, x.device());
      return piece.fn(x, shared);
    }();
    // Parameters inside the piece collect their gradients here, as leaves.
    torch::autograd::backward({y}, {grads[0]});
    return {x.grad(), shared.grad(), torch::Tensor()};
  }
};

}  // namespace

torch::Tensor checkpoint(std::function<torch::Tensor(const torch::Tensor&)> fn,
                         const torch::Tensor& x) {
  return checkpoint(
      [fn = std::move(fn)](const torch::Tensor& of, const torch::Tensor&) { return fn(of); }, x,
      torch::empty({0}, x.options()));
}

torch::Tensor checkpoint(Piece fn, const torch::Tensor& x, const torch::Tensor& shared) {
  if (recomputing || !torch::GradMode::is_enabled()) return fn(x, shared);
  // A frozen input would let autograd drop the node, and with it the gradients of the parameters
  // inside.
  const torch::Tensor input = x.requires_grad() ? x : x.detach().requires_grad_(true);
  return CheckpointFunction::apply(input, shared, c10::make_intrusive<PieceHolder>(std::move(fn)));
}

torch::Tensor checkpoint_rows(
    const std::function<torch::Tensor(const torch::Tensor&, int64_t, int64_t)>& fn,
    const torch::Tensor& x, int64_t chunk) {
  const int64_t rows = x.size(0);
  std::vector<torch::Tensor> parts;
  for (int64_t first = 0; first == 0 || first < rows; first += chunk) {
    const int64_t n = std::min(chunk, rows - first);
    const auto piece = [fn, first, n](const torch::Tensor& part) { return fn(part, first, n); };
    parts.push_back(checkpoint(piece, x.narrow(0, first, n)));
  }
  return parts.size() == 1 ? parts.front() : torch::cat(parts);
}

int64_t set_activation_checkpointing(torch::nn::Module& module, bool on) {
  int64_t found = 0;
  for (const auto& below : module.modules(/*include_self=*/false)) {
    if (auto* stack = dynamic_cast<Recomputing*>(below.get())) {
      stack->set_activation_checkpointing(on);
      ++found;
    }
  }
  if (auto* self = dynamic_cast<Recomputing*>(&module)) {
    self->set_activation_checkpointing(on);
    ++found;
  }
  return found;
}

}  // namespace ttsft
