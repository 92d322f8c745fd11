// Random numbers of a decoding batch as a pure function of (seed of the row, step of the row, what
// for): a row's draws depend neither on its neighbours nor on the order of calls, all rows are
// drawn at once, and nothing has a state that a step would have to carry.
//
// Each number is a 32-bit integer hash (Ellis and Wellons' lowbias32) of its place, keyed with 64
// bits that are mixed from the row's seed, its step and the stream.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace ttsft {

// Recorded random tensors in place of our own, by stream: [steps, ...], float32.
using RecordedDraws = std::map<std::string, torch::Tensor>;

// Two 32-bit words per row, [rows, 2] int64, from the rows' seeds.
torch::Tensor seed_words(const std::vector<uint64_t>& seeds, torch::Device device);

class NoiseSource {
 public:
  // seeds: seed_words(); steps: [rows], int64, what each row has done so far. recorded may be null.
  NoiseSource(torch::Tensor seeds, torch::Tensor steps, const RecordedDraws* recorded = nullptr);

  // In (0, 1), [rows, shape...], float32. Equal streams give equal numbers within a step.
  // A recorded stream of that name comes first; DataError where it has another shape, or ends.
  torch::Tensor uniform(const std::string& stream, torch::IntArrayRef shape) const;
  // Standard normal, by Box and Muller from two such streams.
  torch::Tensor normal(const std::string& stream, torch::IntArrayRef shape) const;

 private:
  torch::Tensor hashed(const std::string& stream, int64_t count) const;  // [rows, count]
  const torch::Tensor* find(const std::string& stream, torch::IntArrayRef shape) const;

  torch::Tensor seeds_, steps_;
  const RecordedDraws* recorded_;
};

}  // namespace ttsft
