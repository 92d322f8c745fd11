// The merge table of a BPE: which neighbours join, in which order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

namespace ttsft {

class BpeMerges {
 public:
  void reserve(std::size_t merges) { table_.reserve(merges); }

  // left + right become merged; a lower rank goes first. A repeated pair takes the last rank given,
  // as upstream's does.
  void add(int32_t left, int32_t right, int32_t rank, int32_t merged);

  // Joins the symbols of one piece in place: always the lowest rank, of equal ranks the leftmost.
  // O(n log n).
  void apply(std::vector<int32_t>& symbols) const;

 private:
  struct Merge {
    int32_t rank, merged;
  };
  struct Hash {
    std::size_t operator()(uint64_t pair) const {
      return (pair ^ (pair >> 29)) * 0x9E3779B97F4A7C15ull;
    }
  };
  const Merge* find(int32_t left, int32_t right) const;

  std::unordered_map<uint64_t, Merge, Hash> table_;
};

}  // namespace ttsft
