// What a test wants of LibTorch's meta device beyond shapes: all operators pass here while one of
// the two lives.
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/library.h>
#include <torch/torch.h>

#include <string>

namespace ttsft::test {

class MetaWatch {
 public:
  virtual ~MetaWatch() { set(before_); }
  MetaWatch(const MetaWatch&) = delete;
  MetaWatch& operator=(const MetaWatch&) = delete;

 protected:
  MetaWatch() : before_(current()) { set(this); }
  // Before an operator runs. True: its results are on the stack already.
  virtual bool answers(const c10::OperatorHandle& op, torch::jit::Stack* stack) = 0;

 private:
  static MetaWatch*& current() {
    thread_local MetaWatch* watch = nullptr;
    return watch;
  }
  static void set(MetaWatch* watch) {
    static torch::Library fallback = [] {
      torch::Library library(torch::Library::IMPL, "_", c10::DispatchKey::TESTING_ONLY_GenericMode,
                             __FILE__, __LINE__);
      library.fallback(torch::CppFunction::makeFromBoxedFunction<&intercept>());
      return library;
    }();
    current() = watch;
    c10::impl::tls_set_dispatch_key_included(c10::DispatchKey::TESTING_ONLY_GenericMode,
                                             watch != nullptr);
  }
  static void intercept(const c10::OperatorHandle& op, c10::DispatchKeySet keys,
                        torch::jit::Stack* stack) {
    if (current() != nullptr && current()->answers(op, stack)) return;
    op.redispatchBoxed(keys.remove(c10::DispatchKey::TESTING_ONLY_GenericMode), stack);
  }

  MetaWatch* before_;
};

// LibTorch's meta kernels look at shapes alone: torch::mm of a meta tensor and one of the CPU gives
// a result. On a GPU it throws, and so it does here.
class RefuseMixing : public MetaWatch {
 protected:
  bool answers(const c10::OperatorHandle& op, torch::jit::Stack* stack) override {
    bool meta = false, cpu = false;
    // A tensor of no dimensions on the CPU is a number to LibTorch's pointwise kernels, as on CUDA.
    const auto look_at = [&](const torch::Tensor& tensor) {
      if (!tensor.defined()) return;
      meta |= tensor.is_meta();
      cpu |= tensor.is_cpu() && tensor.dim() > 0;
    };
    for (const c10::IValue& value : torch::jit::last(*stack, op.schema().arguments().size())) {
      if (value.isTensor()) look_at(value.toTensor());
      if (value.isTensorList()) {
        for (const torch::Tensor& tensor : value.toTensorVector()) look_at(tensor);
      }
      if (value.isOptionalTensorList()) {
        for (const std::optional<torch::Tensor>& tensor : value.toOptionalTensorVector())
          look_at(tensor.value_or(torch::Tensor()));
      }
    }
    TORCH_CHECK(!(meta && cpu) || may_mix(op.schema().name()), op.schema().name(),
                ": expected all tensors on the same device, found meta and cpu");
    return false;
  }

 private:
  // Copies between devices are the point of these; all else wants one device.
  static bool may_mix(const std::string& name) {
    return name == "aten::copy_" || name == "aten::to" || name == "aten::_to_copy" ||
           name == "aten::_copy_from" || name == "aten::set_data";
  }
};

// Reading a number of a meta tensor gives one: for what may wait for a device, such as making a
// voice of a recording before anything is decoded.
class ReadAsOnes : public MetaWatch {
 protected:
  bool answers(const c10::OperatorHandle& op, torch::jit::Stack* stack) override {
    const std::string& name = op.schema().name();
    const size_t first = stack->size() - op.schema().arguments().size();
    const auto tensor = [&](size_t argument) { return (*stack)[first + argument].toTensor(); };
    c10::IValue result;
    if (name == "aten::copy_" && tensor(1).is_meta() && tensor(0).is_cpu()) {
      result = tensor(0).fill_(1);
    } else if (name == "aten::_local_scalar_dense" && tensor(0).is_meta()) {
      result = c10::Scalar(1);
    } else if (name == "aten::nonzero" && tensor(0).is_meta()) {
      result = torch::ones(tensor(0).sizes()).nonzero().to(torch::kMeta);
    } else {
      return false;
    }
    stack->resize(first);
    stack->push_back(result);
    return true;
  }
};

}  // namespace ttsft::test
