#include "ttsft/nn/precision.h"

namespace ttsft {
namespace {

struct Quiet : c10::WarningHandler {
  void process(const c10::Warning& /*warning*/) override {}
};

bool is_tf32(at::Float32Op operation) {
  return at::globalContext().float32Precision(at::Float32Backend::CUDA, operation) ==
         at::Float32Precision::TF32;
}

// By the older setters, which keep both of LibTorch's records of the state alike; those of one
// record alone make readers of the other throw. They warn of their age, once.
void allow_tf32(bool convolutions, bool products) {
  Quiet quiet;
  const c10::WarningUtils::WarningHandlerGuard guard(&quiet);
  at::globalContext().setAllowTF32CuDNN(convolutions);
  at::globalContext().setAllowTF32CuBLAS(products);
}

}  // namespace

void set_float32(Float32 kind) {
  allow_tf32(kind == Float32::kFast, kind == Float32::kFast);
}

bool float32_is(Float32 kind) {
  const bool fast = kind == Float32::kFast;
  return is_tf32(at::Float32Op::CONV) == fast && is_tf32(at::Float32Op::RNN) == fast &&
         is_tf32(at::Float32Op::MATMUL) == fast;
}

Float32 speaking_precision(torch::Dtype dtype) {
  return dtype == torch::kBFloat16 ? Float32::kFast : Float32::kExact;
}

PrecisionScope::PrecisionScope(Float32 kind)
    : convolutions_(is_tf32(at::Float32Op::CONV)), products_(is_tf32(at::Float32Op::MATMUL)) {
  set_float32(kind);
}

PrecisionScope::~PrecisionScope() {
  allow_tf32(convolutions_, products_);
}

}  // namespace ttsft
