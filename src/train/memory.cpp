#include "memory.h"

#include <c10/core/CachingDeviceAllocator.h>
#include <sys/resource.h>

#include <fstream>
#include <string>

namespace ttsft {
namespace {

// nullptr where the device's allocator keeps no statistics.
c10::DeviceAllocator* statistics_of(torch::Device device) {
  if (device.is_cpu()) return nullptr;
  return dynamic_cast<c10::DeviceAllocator*>(c10::GetAllocator(device.type()));
}

int64_t available_memory() {
  std::ifstream file("/proc/meminfo");
  std::string key, unit;
  int64_t kilobytes = 0;
  while (file >> key >> kilobytes) {
    std::getline(file, unit);
    if (key == "MemAvailable:") return kilobytes * 1024;
  }
  return 0;
}

}  // namespace

int64_t peak_memory(torch::Device device) {
  if (c10::DeviceAllocator* allocator = statistics_of(device)) {
    constexpr size_t kAll = 0;  // small and large blocks together
    return allocator->getDeviceStats(std::max<c10::DeviceIndex>(0, device.index()))
        .allocated_bytes[kAll]
        .peak;
  }
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<int64_t>(usage.ru_maxrss) * 1024;
}

int64_t free_memory(torch::Device device) {
  if (device.is_cpu()) return available_memory();
  c10::DeviceAllocator* allocator = statistics_of(device);
  if (!allocator) return 0;
  const auto index = std::max<c10::DeviceIndex>(0, device.index());
  return static_cast<int64_t>(allocator->getMemoryInfo(index).first);
}

}  // namespace ttsft
