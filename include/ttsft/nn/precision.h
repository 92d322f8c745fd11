// How float32 arithmetic is done on a CUDA device: the one place that decides on TF32.
//
// TF32 keeps 10 bits of each factor's mantissa. LibTorch lets cuDNN's convolutions and recurrent
// layers use it and keeps cuBLAS's matrix products exact (ATen/Context.h), which is neither. Here:
// - exact wherever numbers decide what is learned: prep (codes would differ between a CPU and a
//   GPU), speaker encoders, resampling, training and evaluation. resolve_device() sets that for a
//   run on CUDA;
// - fast where a model speaks with precision: bf16, around its acoustic part, which is computed in
//   float32: the codes it starts from are rounder than TF32 is.
// The CPU computes float32 exactly in any case.
#pragma once

#include <torch/torch.h>

namespace ttsft {

enum class Float32 {
  kExact,  // no TF32
  kFast,   // TF32 in convolutions, recurrent layers and matrix products
};

void set_float32(Float32 kind);

// Whether this kind is what is set now. Any other state than the two (LibTorch's own) is neither.
bool float32_is(Float32 kind);

// What a model speaks with: kFast where its language model runs in bf16.
Float32 speaking_precision(torch::Dtype dtype);

// Sets a kind and puts back what was set before, also when an exception passes. The setting is the
// process's, not the thread's: scopes belong to the thread that drives the device, and nest.
class PrecisionScope {
 public:
  explicit PrecisionScope(Float32 kind);
  ~PrecisionScope();
  PrecisionScope(const PrecisionScope&) = delete;
  PrecisionScope& operator=(const PrecisionScope&) = delete;

 private:
  bool convolutions_, products_;  // TF32 before
};

}  // namespace ttsft
