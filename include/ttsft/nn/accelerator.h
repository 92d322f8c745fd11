// What a device can do beyond LibTorch's device-neutral interface: graphs of kernels, and being the
// current device. The CPU's is in nn/. CUDA's names what only libtorch_cuda.so exports, so it is a
// library of its own (src/cuda, libttsft_cuda.so) that is opened when a CUDA device is asked for;
// nothing else names CUDA.
#pragma once

#include <torch/torch.h>

#include <functional>
#include <memory>
#include <string>

namespace ttsft {

// Kernels that were recorded once and run again with one launch.
class StepGraph {
 public:
  virtual ~StepGraph() = default;
  // Runs them on the current stream of their device, without waiting. Inputs are read and results
  // written where they lay when the step was captured.
  virtual void replay() = 0;
};

struct CapturedStep {
  std::unique_ptr<StepGraph> graph;  // null: the step must run plainly
  std::string why_plain;             // then in words
};

class Accelerator {
 public:
  virtual ~Accelerator() = default;

  // Makes a device the current one of the calling thread, so that pinned memory and library handles
  // open no context on another.
  virtual void use(torch::Device device) = 0;

  // Records what `step` launches on the current device; recording runs nothing on it. Run the step
  // plainly once before, so that what is made at the first call (handles, workspaces, lazy buffers)
  // is there. A step that waits for the device or asks it for sizes cannot be recorded: null.
  // c10::OutOfMemoryError and what is not LibTorch's error pass through.
  virtual CapturedStep capture(const std::function<void()>& step) = 0;
};

// Of the device's kind. For CUDA open_cuda_accelerator() must have answered "" before.
Accelerator& accelerator(torch::Device device);

// Opens CUDA's part, and with it LibTorch's kernels for CUDA. "" where that worked, else the reason
// in the loader's words. Asked once; the library stays open.
std::string open_cuda_accelerator();

// The same from any library that exports ttsft_cuda_accelerator; for tests.
std::string open_cuda_accelerator(const std::string& library, Accelerator*& opened);

// What the library exports under the name below: the one object, which lives as long as the
// process.
using CudaAcceleratorFunction = Accelerator* (*)();
inline constexpr const char* kCudaAcceleratorFunction = "ttsft_cuda_accelerator";

}  // namespace ttsft
