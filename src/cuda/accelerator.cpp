// CUDA's part of nn/accelerator.h, in a library of its own that links libtorch_cuda.so.
#include "ttsft/nn/accelerator.h"

#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

namespace ttsft {
namespace {

class CudaStepGraph : public StepGraph {
 public:
  void replay() override { graph_.replay(); }
  at::cuda::CUDAGraph& graph() { return graph_; }

 private:
  at::cuda::CUDAGraph graph_;
};

// Takes the stream out of the recording that failed; the graph is thrown away after it.
void abandon(at::cuda::CUDAGraph& graph) {
  try {
    graph.capture_end();
  } catch (const c10::Error&) {  // that it failed is known
  }
}

class Cuda : public Accelerator {
 public:
  void use(torch::Device device) override {
    c10::cuda::set_device(device.has_index() ? device.index() : 0);
  }

  CapturedStep capture(const std::function<void()>& step) override {
    auto recorded = std::make_unique<CudaStepGraph>();
    at::cuda::CUDAGraph& graph = recorded->graph();
    c10::cuda::device_synchronize();  // what the step reads may still be written by another stream
    // The default stream cannot be recorded.
    const c10::cuda::CUDAStreamGuard stream(c10::cuda::getStreamFromPool());
    // Other threads (batches that are pinned ahead) may call CUDA meanwhile.
    graph.capture_begin({0, 0}, cudaStreamCaptureModeThreadLocal);
    try {
      step();
    } catch (const c10::OutOfMemoryError&) {
      abandon(graph);
      throw;
    } catch (const c10::Error& error) {
      abandon(graph);
      return {nullptr, error.what_without_backtrace()};
    } catch (...) {
      abandon(graph);
      throw;
    }
    try {
      graph.capture_end();
    } catch (const c10::Error& error) {
      return {nullptr, error.what_without_backtrace()};
    }
    return {std::move(recorded), {}};
  }
};

}  // namespace
}  // namespace ttsft

// kCudaAcceleratorFunction of nn/accelerator.h.
extern "C" ttsft::Accelerator* ttsft_cuda_accelerator() {
  static ttsft::Cuda cuda;
  return &cuda;
}
