// Which utterances form the micro-batch of which step. Knows lengths only.
#pragma once

#include <cstdint>
#include <vector>

namespace ttsft {

struct SamplerOptions {
  int64_t batch_tokens = 8192;   // budget of padded length x rows; unused with batch_utterances
  int64_t batch_utterances = 0;  // above 0: rows per batch, whatever their lengths
  bool shuffle = true;           // false: manifest order, batches cut in that order
  uint64_t seed = 1;
};

// Deterministic in (lengths, options, epoch) on every machine, so that a run can be resumed inside
// an epoch from (epoch, batch) alone. With shuffle, rows of like length share a batch (padding
// stays small), other rows meet in the next epoch, and the order of batches is random. Every row
// appears once per epoch; a last short batch is used, not dropped. A row longer than the budget
// forms a batch of its own.
class Sampler {
 public:
  // UsageError when both options are 0 or one is negative; RunError for a negative length.
  Sampler(std::vector<int64_t> lengths, SamplerOptions options);

  const std::vector<std::vector<int64_t>>& epoch(int64_t epoch);  // batches of row numbers
  int64_t batches_per_epoch();                                    // of epoch 0
  double padding_share();  // of epoch 0: padded tokens / all tokens

 private:
  std::vector<std::vector<int64_t>> shuffled_batches(int64_t epoch) const;
  void cut_counted(const std::vector<int64_t>& rows, std::vector<std::vector<int64_t>>& out) const;
  void cut_in_order(const std::vector<int64_t>& rows, std::vector<std::vector<int64_t>>& out) const;
  void cut_cheaply(const std::vector<int64_t>& rows, std::vector<std::vector<int64_t>>& out) const;

  std::vector<int64_t> lengths_;
  SamplerOptions options_;
  int64_t cached_epoch_ = -1;
  std::vector<std::vector<int64_t>> batches_;
};

}  // namespace ttsft
