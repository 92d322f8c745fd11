// LibTorch's meta device: tensors that have shapes and no numbers.
//
// What runs there needs no number on the host: reading one throws. That proves code for a GPU
// without one (tests/support/meta_watch.h adds what CUDA says of mixed devices). And the memory
// that a run there would have taken is counted, so that a plan can be made before anything is
// computed.
#pragma once

#include <torch/torch.h>

#include <cstdint>

namespace ttsft {

// Registers, once per process, the allocator that counts and what LibTorch has for this device in
// Python alone: attention, norms and dropout, which keep for the backward pass what CUDA's fused
// kernels keep, and a way over the CPU, on zeros, for every other operator without a meta kernel.
// Call it before a tensor is made there.
void use_meta_device();

// Tensor::set_data, which LibTorch refuses between the CPU and the meta device, where modules that
// were made on the one get weights of the other.
void set_data(torch::Tensor tensor, const torch::Tensor& value);

// Bytes of the meta tensors that live now, and the most since reset_peak_meta_memory(), in the
// steps of CUDA's allocator (512 bytes).
int64_t meta_memory();
int64_t peak_meta_memory();
void reset_peak_meta_memory();

}  // namespace ttsft
