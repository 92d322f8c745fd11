// A library as src/cuda makes one, for tests/nn/accelerator_test.cpp: its graph runs the step, and
// without a step it says what the allocator's settings are.
#include <cstdlib>
#include <utility>

#include "ttsft/nn/accelerator.h"

namespace ttsft {
namespace {

class FakeGraph : public StepGraph {
 public:
  explicit FakeGraph(std::function<void()> step) : step_(std::move(step)) {}
  void replay() override { step_(); }

 private:
  std::function<void()> step_;
};

class Fake : public Accelerator {
 public:
  void use(torch::Device /*device*/) override {}
  CapturedStep capture(const std::function<void()>& step) override {
    if (step) return {std::make_unique<FakeGraph>(step), {}};
    const char* settings = std::getenv("PYTORCH_ALLOC_CONF");
    return {nullptr, settings ? settings : ""};
  }
};

}  // namespace
}  // namespace ttsft

extern "C" ttsft::Accelerator* ttsft_cuda_accelerator() {
  static ttsft::Fake fake;
  return &fake;
}
