#include "ttsft/nn/device.h"

#include <dlfcn.h>
#include <torch/version.h>

#include <filesystem>

#include "ttsft/core/error.h"
#include "ttsft/core/log.h"

namespace ttsft {
namespace {

// Registers LibTorch's CUDA kernels with the dispatcher. "" when that worked, else the loader's
// reason.
std::string load_cuda_backend() {
  static const std::string reason = [] {
    if (dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL)) return std::string();
    const char* text = dlerror();
    return std::string(text ? text : "unknown reason");
  }();
  return reason;
}

bool driver_present() {
  return std::filesystem::exists("/dev/nvidiactl");
}

}  // namespace

torch::Device resolve_device(const std::string& name) {
  if (name == "cpu") return torch::kCPU;
  if (name == "auto") {
    if (!driver_present()) return torch::kCPU;
    const std::string reason = load_cuda_backend();
    if (reason.empty() && torch::cuda::is_available()) return torch::Device(torch::kCUDA, 0);
    log_warning("a GPU driver is here but CUDA cannot be used (",
                reason.empty() ? "LibTorch finds no device" : reason, "); running on the CPU");
    return torch::kCPU;
  }
  int64_t index = 0;
  if (name != "cuda") {
    const bool numbered = name.starts_with("cuda:") && name.size() > 5 &&
                          name.find_first_not_of("0123456789", 5) == std::string::npos &&
                          name.size() < 9;
    if (!numbered)
      throw UsageError("unknown device '" + name + "'", "device", "use auto, cpu, cuda or cuda:N");
    index = std::stol(name.substr(5));
  }
  if (!driver_present())
    throw UsageError("no CUDA device on this machine", "device: " + name,
                     "set device: cpu or device: auto");
  if (const std::string reason = load_cuda_backend(); !reason.empty())
    throw UsageError("LibTorch's CUDA libraries cannot be loaded (" + reason + ")",
                     "device: " + name,
                     "install them with tools/quickstart --cuda, or set device: cpu");
  const int64_t count = torch::cuda::device_count();
  if (index >= count)
    throw UsageError("there are " + std::to_string(count) + " CUDA devices", "device: " + name,
                     "set device: cpu or a device below that number");
  return torch::Device(torch::kCUDA, static_cast<torch::DeviceIndex>(index));
}

torch::Dtype resolve_precision(const std::string& name, torch::Device device) {
  if (name == "fp32") return torch::kFloat32;
  if (name == "bf16") return torch::kBFloat16;
  if (name == "auto") return device.is_cuda() ? torch::kBFloat16 : torch::kFloat32;
  throw UsageError("unknown precision '" + name + "'", "precision", "use auto, fp32 or bf16");
}

std::string torch_description() {
  std::string text = "LibTorch " TORCH_VERSION;
  if (!driver_present()) return text + ", CPU only (no GPU driver)";
  if (const std::string reason = load_cuda_backend(); !reason.empty())
    return text + ", CPU only (" + reason + ")";
  return text + ", CUDA with " + std::to_string(torch::cuda::device_count()) + " device(s)";
}

}  // namespace ttsft
