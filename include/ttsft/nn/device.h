// Where and in which precision a model runs. The only header that knows how CUDA is loaded.
#pragma once

#include <torch/torch.h>

#include <functional>
#include <string>

#include "ttsft/nn/cuda_driver.h"

namespace ttsft {

// What a device is chosen by; tests play machines that are not at hand.
struct CudaMachine {
  CudaDriver driver;
  int built_for = 0;      // cuda_of_libtorch()
  bool gpu_seen = false;  // the system shows an NVIDIA GPU
  // Opens CUDA's libraries, which registers LibTorch's kernels: "", or the loader's reason.
  std::function<std::string()> open;
  std::function<int64_t()> devices;        // that LibTorch can use, after open()
  std::function<void(torch::Device)> use;  // makes the chosen one the current one
};

// This machine; its libraries are opened once.
const CudaMachine& this_machine();

// "auto" | "cpu" | "cuda" | "cuda:N". CUDA's libraries are opened on the first request for a CUDA
// device, so that a CPU run neither needs nor loads them. UsageError when a device is asked for
// that cannot be used: it names the reason (no driver, one too old for LibTorch, a library that is
// missing) and the remedy. "auto" falls back to the CPU and says why in the log, with a warning
// where a GPU stays unused. A CUDA device becomes the current one, and float32 on it is exact
// (nn/precision). Its allocator's segments grow (expandable_segments) unless PYTORCH_ALLOC_CONF or
// PYTORCH_CUDA_ALLOC_CONF says otherwise.
torch::Device resolve_device(const std::string& name);
torch::Device resolve_device(const std::string& name, const CudaMachine& machine);

// "auto" is fp32 on the CPU and bf16 on CUDA.
torch::Dtype resolve_precision(const std::string& name, torch::Device device);

// "LibTorch 2.11.0 for CUDA 13.0, 1 CUDA device (driver: CUDA 13.0)" for --version and the log.
std::string torch_description();

}  // namespace ttsft
