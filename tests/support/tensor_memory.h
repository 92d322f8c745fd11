// Counts the bytes of LibTorch's tensors in host memory, on this thread and as long as it lives.
#pragma once

#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>

#include <algorithm>
#include <memory>

namespace ttsft::test {

class TensorMemory {
 public:
  TensorMemory() : guard_(c10::DebugInfoKind::PROFILER_STATE, counter_) {}

  int64_t peak() const { return counter_->peak; }  // beyond what was there before

 private:
  struct Counter : c10::MemoryReportingInfoBase {
    void reportMemoryUsage(void*, int64_t size, size_t, size_t, c10::Device device) override {
      if (!device.is_cpu()) return;
      now += size;  // negative when memory is given back
      peak = std::max(peak, now);
    }
    bool memoryProfilingEnabled() const override { return true; }
    int64_t now = 0, peak = 0;
  };

  std::shared_ptr<Counter> counter_ = std::make_shared<Counter>();
  c10::DebugInfoGuard guard_;
};

}  // namespace ttsft::test
