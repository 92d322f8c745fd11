// How much memory a device has, and work in pieces that fit into it.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <exception>
#include <functional>
#include <limits>
#include <span>

namespace ttsft {

// Most bytes that tensors took on the device at a time; of the whole process on the CPU.
int64_t peak_memory(torch::Device device);

// Bytes that could still be taken; 0 when unknown.
int64_t free_memory(torch::Device device);

// Bytes of the device in all; 0 when unknown.
int64_t total_memory(torch::Device device);

// Gives blocks that the allocator keeps for later back to the device. Nothing to do on the CPU.
void release_cached_memory(torch::Device device);

// Whether LibTorch or the standard library threw this because memory ran out.
bool is_out_of_memory(const std::exception& error);

// Batches that halve themselves where memory does not reach, and remember what went through. A
// piece that is alone and still does not fit throws what it threw.
class FittingBatches {
 public:
  // say(limit): how the warning names the size of the batches from now on.
  explicit FittingBatches(torch::Device device, std::function<std::string(int64_t)> say = {})
      : device_(device), say_(std::move(say)) {}

  // work(piece) for consecutive pieces that together are the batch. size(piece) is what memory
  // grows with (rows, or rows x longest). work() must be able to run again on half of a piece that
  // it left in the middle.
  template <class T>
  void run(std::span<T> batch, const std::function<int64_t(std::span<const T>)>& size,
           const std::function<void(std::span<T>)>& work) {
    if (batch.empty()) return;
    const int64_t wanted = size(batch);
    if (batch.size() > 1 && wanted > limit()) return halves(batch, size, work);
    if (!fits(
            wanted, [&] { work(batch); }, batch.size() > 1))
      halves(batch, size, work);
  }

  // The largest size that is tried as a whole.
  int64_t limit() const { return limit_; }

 private:
  template <class T>
  void halves(std::span<T> batch, const std::function<int64_t(std::span<const T>)>& size,
              const std::function<void(std::span<T>)>& work) {
    const size_t half = (batch.size() + 1) / 2;
    run(batch.first(half), size, work);
    run(batch.subspan(half), size, work);
  }

  // False when memory ran out and the piece can be divided.
  bool fits(int64_t size, const std::function<void()>& work, bool divisible);

  torch::Device device_;
  std::function<std::string(int64_t)> say_;
  int64_t limit_ = std::numeric_limits<int64_t>::max(), largest_ = 0;
};

}  // namespace ttsft
