#include "ttsft/nn/accelerator.h"

#include <dlfcn.h>

#include <cstdlib>
#include <stdexcept>

namespace ttsft {
namespace {

class Cpu : public Accelerator {
 public:
  void use(torch::Device /*device*/) override {}
  CapturedStep capture(const std::function<void()>& /*step*/) override {
    return {nullptr, "the CPU records no kernels"};
  }
};

Accelerator* cuda = nullptr;  // set once, by open_cuda_accelerator()

// Batches differ in shape all the time, and fixed segments fragment. Read when the library is
// opened; what the user says stays.
void prefer_expandable_segments() {
  if (std::getenv("PYTORCH_ALLOC_CONF") || std::getenv("PYTORCH_CUDA_ALLOC_CONF")) return;
  setenv("PYTORCH_ALLOC_CONF", "expandable_segments:True", /*overwrite=*/0);
}

}  // namespace

Accelerator& accelerator(torch::Device device) {
  static Cpu cpu;
  if (device.is_cpu()) return cpu;
  if (!device.is_cuda() || !cuda)
    throw std::logic_error("accelerator: " + device.str() + " was not opened");
  return *cuda;
}

std::string open_cuda_accelerator(const std::string& library, Accelerator*& opened) {
  prefer_expandable_segments();
  void* handle = dlopen(library.c_str(), RTLD_NOW | RTLD_GLOBAL);
  if (!handle) {
    const char* text = dlerror();
    return text ? text : library + ": unknown reason";
  }
  const auto function =
      reinterpret_cast<CudaAcceleratorFunction>(dlsym(handle, kCudaAcceleratorFunction));
  if (!function) return library + " is not ttsft's: it has no " + kCudaAcceleratorFunction;
  opened = function();
  return {};
}

std::string open_cuda_accelerator() {
  static const std::string reason = open_cuda_accelerator("libttsft_cuda.so", cuda);
  return reason;
}

}  // namespace ttsft
