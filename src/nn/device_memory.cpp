#include "ttsft/nn/device_memory.h"

#include <c10/core/CachingDeviceAllocator.h>
#include <sys/resource.h>

#include <algorithm>
#include <fstream>
#include <new>
#include <string>

#include "ttsft/core/log.h"

namespace ttsft {
namespace {

// nullptr where the device's allocator keeps no statistics and no cache.
c10::DeviceAllocator* caching_allocator(torch::Device device) {
  if (!device.is_cuda()) return nullptr;
  return dynamic_cast<c10::DeviceAllocator*>(c10::GetAllocator(device.type()));
}

c10::DeviceIndex index_of(torch::Device device) {
  return std::max<c10::DeviceIndex>(0, device.index());
}

int64_t system_memory(const std::string& wanted) {
  std::ifstream file("/proc/meminfo");
  std::string key;
  int64_t kilobytes = 0;
  while (file >> key >> kilobytes) {
    std::string unit;
    std::getline(file, unit);
    if (key == wanted) return kilobytes * 1024;
  }
  return 0;
}

}  // namespace

int64_t peak_memory(torch::Device device) {
  if (c10::DeviceAllocator* allocator = caching_allocator(device)) {
    constexpr size_t kAll = 0;  // small and large blocks together
    return allocator->getDeviceStats(index_of(device)).allocated_bytes[kAll].peak;
  }
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<int64_t>(usage.ru_maxrss) * 1024;
}

int64_t free_memory(torch::Device device) {
  if (device.is_cpu()) return system_memory("MemAvailable:");
  c10::DeviceAllocator* allocator = caching_allocator(device);
  return allocator ? static_cast<int64_t>(allocator->getMemoryInfo(index_of(device)).first) : 0;
}

int64_t total_memory(torch::Device device) {
  if (device.is_cpu()) return system_memory("MemTotal:");
  c10::DeviceAllocator* allocator = caching_allocator(device);
  return allocator ? static_cast<int64_t>(allocator->getMemoryInfo(index_of(device)).second) : 0;
}

void release_cached_memory(torch::Device device) {
  if (c10::DeviceAllocator* allocator = caching_allocator(device)) allocator->emptyCache();
}

bool is_out_of_memory(const std::exception& error) {
  if (dynamic_cast<const c10::OutOfMemoryError*>(&error)) return true;
  if (dynamic_cast<const std::bad_alloc*>(&error)) return true;
  // The CPU's allocator has no type of its own for it.
  const auto* torch_error = dynamic_cast<const c10::Error*>(&error);
  return torch_error && torch_error->what_without_backtrace() != nullptr &&
         std::string(torch_error->what_without_backtrace()).find("can't allocate memory") !=
             std::string::npos;
}

bool FittingBatches::fits(int64_t size, const std::function<void()>& work, bool divisible) {
  try {
    work();
    largest_ = std::max(largest_, size);
    return true;
  } catch (const std::exception& error) {
    if (!divisible || !is_out_of_memory(error)) throw;
  }
  // Behind the catch block, so that what the exception held is free too.
  release_cached_memory(device_);
  const int64_t before = limit_;
  limit_ = std::min(limit_, std::max(largest_, size / 2));
  // A size that went through before and does not any more (others use the card) is no limit.
  if (limit_ >= size) limit_ = size / 2;
  if (limit_ < before)
    log_warning("out of memory: going on with ",
                say_ ? say_(limit_) : "batches of size " + std::to_string(limit_));
  return false;
}

}  // namespace ttsft
