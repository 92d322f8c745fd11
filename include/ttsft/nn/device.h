// Where and in which precision a model runs. The only header that knows how CUDA is loaded.
#pragma once

#include <torch/torch.h>

#include <string>

namespace ttsft {

// "auto" | "cpu" | "cuda" | "cuda:N". CUDA's libraries are opened on the first request for a CUDA
// device, so that a CPU run neither needs nor loads them. UsageError when a device is asked for
// that is not there; "auto" falls back to the CPU and says so in the log.
torch::Device resolve_device(const std::string& name);

// "auto" is fp32 on the CPU and bf16 on CUDA.
torch::Dtype resolve_precision(const std::string& name, torch::Device device);

// "LibTorch 2.11.0, CUDA 13.0 (1 device: NVIDIA ...)" for --version and the log.
std::string torch_description();

}  // namespace ttsft
