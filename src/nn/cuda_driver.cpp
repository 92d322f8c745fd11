#include "ttsft/nn/cuda_driver.h"

#include <dlfcn.h>

#include <vector>

namespace ttsft {
namespace {

// Of CUresult (cuda.h).
constexpr int kStubLibrary = 34, kNoDevice = 100;

// The reasons that people can do something about.
std::string reason_of(int result) {
  switch (result) {
    case 3:
      return "it is not initialised (error 3)";
    case 46:
      return "the GPU is busy or not available (error 46)";
    case 802:
      return "the machine's GPUs are not ready; is the fabric manager running? (error 802)";
    case 803:
      return "its library and its kernel module are of different versions; restart the machine, or "
             "mount the host's driver into the container (error 803)";
    case 804:
      return "the GPU takes no forward compatibility package (error 804)";
    case 999:
      return "the kernel module does not answer (error 999)";
    default:
      return "error " + std::to_string(result);
  }
}

// NVIDIA's first driver branch that runs a CUDA of this major version (CUDA's release notes).
std::string driver_branch(int major) {
  return major == 12 ? "525" : major == 13 ? "580" : "";
}

template <typename Function>
void find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
}

}  // namespace

CudaDriver ask_driver(const CudaDriverTable& table) {
  CudaDriver driver;
  if (!table.init || !table.driver_version || !table.device_count) {
    driver.reason = "its library is not a CUDA driver's";
    return driver;
  }
  if (table.driver_version(&driver.version) != 0) driver.version = 0;  // works before cuInit
  int result = table.init(0);
  if (result == 0) result = table.device_count(&driver.devices);
  if (result == kStubLibrary) {
    driver.reason = "libcuda.so is the CUDA toolkit's stub";
    driver.version = 0;
    return driver;
  }
  if (result != 0 && result != kNoDevice) {
    driver.state = CudaDriver::State::kFailed;
    driver.reason = reason_of(result);
    driver.devices = 0;
    return driver;
  }
  if (result == kNoDevice) driver.devices = 0;
  driver.state = driver.devices > 0 ? CudaDriver::State::kReady : CudaDriver::State::kNoDevice;
  return driver;
}

CudaDriver probe_driver(std::span<const std::string> libraries) {
  CudaDriver absent;
  for (const std::string& name : libraries) {
    void* library = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library) {
      const char* text = dlerror();
      if (absent.reason.empty()) absent.reason = text ? text : name + " cannot be opened";
      continue;
    }
    CudaDriverTable table;
    find(library, "cuInit", table.init);
    find(library, "cuDriverGetVersion", table.driver_version);
    find(library, "cuDeviceGetCount", table.device_count);
    return ask_driver(table);
  }
  return absent;
}

const CudaDriver& cuda_driver() {
  static const CudaDriver driver = [] {
    // WSL's folder is in the loader's path unless a distribution or a container drops it.
    const std::vector<std::string> libraries = {"libcuda.so.1", "/usr/lib/wsl/lib/libcuda.so.1"};
    return probe_driver(libraries);
  }();
  return driver;
}

int cuda_of_libtorch() {
  // libtorch_cpu.so of a CUDA build is linked to its runtime; this question needs no driver.
  int (*runtime_version)(int*) = nullptr;
  find(RTLD_DEFAULT, "cudaRuntimeGetVersion", runtime_version);
  int version = 0;
  return runtime_version && runtime_version(&version) == 0 ? version : 0;
}

std::string cuda_version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

CudaObstacle cuda_obstacle(const CudaDriver& driver, int built_for, bool gpu_seen) {
  const std::string or_cpu = "set device: cpu";
  if (driver.state == CudaDriver::State::kAbsent) {
    if (gpu_seen)
      return {"an NVIDIA GPU is here, but not its driver's library (" + driver.reason + ")",
              "in a container give it the driver (docker run --gpus all), else install the driver; "
              "or " +
                  or_cpu};
    return {"no CUDA device on this machine (it has no NVIDIA driver)",
            "install NVIDIA's driver, or " + or_cpu, /*expected=*/true};
  }
  if (built_for == 0)
    return {"this LibTorch is built without CUDA",
            "build with the one of tools/setup --cuda (TORCH_DIR unset), or " + or_cpu,
            driver.state == CudaDriver::State::kNoDevice};
  if (driver.version > 0 && driver.version / 1000 < built_for / 1000) {
    const std::string branch = driver_branch(built_for / 1000);
    std::string remedy =
        "update NVIDIA's driver" + (branch.empty() ? "" : " (" + branch + " or later)");
    // cu128 knows the Blackwell GPUs that cu126 does not.
    if (driver.version / 1000 == 12)
      remedy += std::string(", or run TTSFT_CUDA=") +
                (driver.version >= 12080 ? "cu128" : "cu126") +
                " tools/quickstart --cuda --build to build with LibTorch for CUDA 12";
    return {"the GPU's driver runs CUDA " + cuda_version_text(driver.version) +
                " at most, and LibTorch is built for CUDA " + cuda_version_text(built_for),
            remedy + ", or " + or_cpu};
  }
  if (driver.state == CudaDriver::State::kFailed)
    return {"the GPU's driver (CUDA " + cuda_version_text(driver.version) +
                ") does not start: " + driver.reason,
            "see what nvidia-smi says, or " + or_cpu};
  if (driver.state == CudaDriver::State::kNoDevice)
    return {"no CUDA device on this machine (its driver shows none)",
            "see CUDA_VISIBLE_DEVICES and nvidia-smi, or " + or_cpu, /*expected=*/true};
  return {};
}

}  // namespace ttsft
