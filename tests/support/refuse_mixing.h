// LibTorch's meta kernels look at shapes alone: torch::mm of a meta tensor and one of the CPU gives
// a result. On a GPU it throws, and so it does here while a RefuseMixing lives.
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/library.h>
#include <torch/torch.h>

#include <string>

namespace ttsft::test {

// Copies between devices are the point of these; all else wants one device. A tensor of no
// dimensions on the CPU is a number to LibTorch's pointwise kernels, as on CUDA.
inline bool may_mix(const c10::OperatorHandle& op) {
  const std::string& name = op.schema().name();
  return name == "aten::copy_" || name == "aten::to" || name == "aten::_to_copy" ||
         name == "aten::_copy_from" || name == "aten::set_data";
}

inline void look_at(const torch::Tensor& tensor, bool& meta, bool& cpu) {
  if (!tensor.defined()) return;
  meta |= tensor.is_meta();
  cpu |= tensor.is_cpu() && tensor.dim() > 0;
}

inline void refuse_mixing(const c10::OperatorHandle& op, c10::DispatchKeySet keys,
                          torch::jit::Stack* stack) {
  bool meta = false, cpu = false;
  for (const c10::IValue& value : torch::jit::last(*stack, op.schema().arguments().size())) {
    if (value.isTensor()) look_at(value.toTensor(), meta, cpu);
    if (value.isTensorList()) {
      for (const torch::Tensor& tensor : value.toTensorVector()) look_at(tensor, meta, cpu);
    }
    if (value.isOptionalTensorList()) {
      for (const std::optional<torch::Tensor>& tensor : value.toOptionalTensorVector())
        look_at(tensor.value_or(torch::Tensor()), meta, cpu);
    }
  }
  TORCH_CHECK(!(meta && cpu) || may_mix(op), op.schema().name(),
              ": expected all tensors on the same device, found meta and cpu");
  op.redispatchBoxed(keys.remove(c10::DispatchKey::TESTING_ONLY_GenericMode), stack);
}

class RefuseMixing {
 public:
  RefuseMixing() {
    static torch::Library fallback = [] {
      torch::Library library(torch::Library::IMPL, "_", c10::DispatchKey::TESTING_ONLY_GenericMode,
                             __FILE__, __LINE__);
      library.fallback(torch::CppFunction::makeFromBoxedFunction<&refuse_mixing>());
      return library;
    }();
    c10::impl::tls_set_dispatch_key_included(c10::DispatchKey::TESTING_ONLY_GenericMode, true);
  }
  ~RefuseMixing() {
    c10::impl::tls_set_dispatch_key_included(c10::DispatchKey::TESTING_ONLY_GenericMode, false);
  }
  RefuseMixing(const RefuseMixing&) = delete;
  RefuseMixing& operator=(const RefuseMixing&) = delete;
};

}  // namespace ttsft::test
