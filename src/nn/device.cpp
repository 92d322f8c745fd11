#include "ttsft/nn/device.h"

#include <torch/version.h>

#include <filesystem>

#include "ttsft/core/error.h"
#include "ttsft/core/log.h"
#include "ttsft/nn/accelerator.h"
#include "ttsft/nn/precision.h"

namespace ttsft {
namespace {

// What stands between the driver and LibTorch's kernels, its libraries opened; `what` is empty
// where nothing does.
CudaObstacle open_machine(const CudaMachine& machine) {
  CudaObstacle obstacle = cuda_obstacle(machine.driver, machine.built_for, machine.gpu_seen);
  if (!obstacle.what.empty()) return obstacle;
  if (const std::string reason = machine.open(); !reason.empty())
    return {"the libraries for CUDA cannot be loaded (" + reason + ")",
            "fetch and build them with tools/quickstart --cuda --build, or set device: cpu"};
  if (machine.devices() == 0)
    return {"LibTorch, built for CUDA " + cuda_version_text(machine.built_for) +
                ", finds no device behind the driver (CUDA " +
                cuda_version_text(machine.driver.version) + ")",
            "see what nvidia-smi says, or set device: cpu"};
  return {};
}

torch::Device choose(const std::string& name, const CudaMachine& machine) {
  if (name == "auto") {
    const CudaObstacle obstacle = open_machine(machine);
    if (obstacle.what.empty()) return torch::Device(torch::kCUDA, 0);
    if (obstacle.expected) {
      const bool hidden = machine.driver.state == CudaDriver::State::kNoDevice;
      if (hidden) log_info("running on the CPU: ", obstacle.what);
    } else {
      log_warning(obstacle.what, "; running on the CPU (", obstacle.remedy, ")");
    }
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
  const CudaObstacle obstacle = open_machine(machine);
  if (!obstacle.what.empty()) throw UsageError(obstacle.what, "device: " + name, obstacle.remedy);
  const int64_t count = machine.devices();
  if (index >= count)
    throw UsageError("there " + (count == 1 ? std::string("is 1 CUDA device")
                                            : "are " + std::to_string(count) + " CUDA devices"),
                     "device: " + name, "set device: cpu or a device below that number");
  return torch::Device(torch::kCUDA, static_cast<torch::DeviceIndex>(index));
}

}  // namespace

const CudaMachine& this_machine() {
  static const CudaMachine machine{cuda_driver(),
                                   cuda_of_libtorch(),
                                   std::filesystem::exists("/dev/nvidiactl"),
                                   [] { return open_cuda_accelerator(); },
                                   [] { return static_cast<int64_t>(torch::cuda::device_count()); },
                                   [](torch::Device device) { accelerator(device).use(device); }};
  return machine;
}

torch::Device resolve_device(const std::string& name) {
  if (name == "cpu") return torch::kCPU;
  return resolve_device(name, this_machine());
}

torch::Device resolve_device(const std::string& name, const CudaMachine& machine) {
  if (name == "cpu") return torch::kCPU;
  const torch::Device device = choose(name, machine);
  if (device.is_cuda()) {
    machine.use(device);
    set_float32(Float32::kExact);
  }
  return device;
}

torch::Dtype resolve_precision(const std::string& name, torch::Device device) {
  if (name == "fp32") return torch::kFloat32;
  if (name == "bf16") return torch::kBFloat16;
  if (name == "auto") return device.is_cuda() ? torch::kBFloat16 : torch::kFloat32;
  throw UsageError("unknown precision '" + name + "'", "precision", "use auto, fp32 or bf16");
}

std::string torch_description() {
  const CudaMachine& machine = this_machine();
  std::string text = "LibTorch " TORCH_VERSION;
  if (machine.built_for > 0) text += " for CUDA " + cuda_version_text(machine.built_for);
  if (const CudaObstacle obstacle = open_machine(machine); !obstacle.what.empty())
    return text + ", CPU only (" + obstacle.what + ")";
  const int64_t count = machine.devices();
  return text + ", " + std::to_string(count) + " CUDA device" + (count == 1 ? "" : "s") +
         " (driver: CUDA " + cuda_version_text(machine.driver.version) + ")";
}

}  // namespace ttsft
