// Memory of the machine and of the device, without linking to CUDA.
#pragma once

#include <torch/torch.h>

#include <cstdint>

namespace ttsft {

int64_t peak_memory(
    torch::Device device);  // bytes; of the process on the CPU, of the allocator else
int64_t free_memory(torch::Device device);  // bytes; 0 when unknown

}  // namespace ttsft
