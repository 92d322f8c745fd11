#include "bpe_merges.h"

#include <algorithm>
#include <queue>
#include <tuple>

namespace ttsft {
namespace {

uint64_t pair_key(int32_t left, int32_t right) {
  return (uint64_t(uint32_t(left)) << 32) | uint32_t(right);
}

// Symbols as a doubly linked list over the original positions; a joined right half is marked dead.
struct Link {
  int32_t symbol, previous, next;
};

constexpr int32_t kNone = -1;
constexpr int32_t kDead = -1;

// `left` and `right` are the symbols seen when the candidate was made: others there now make it
// stale.
struct Candidate {
  int32_t rank, position, left, right, merged;
  bool operator>(const Candidate& other) const {
    return std::tie(rank, position) > std::tie(other.rank, other.position);
  }
};

}  // namespace

void BpeMerges::add(int32_t left, int32_t right, int32_t rank, int32_t merged) {
  table_.insert_or_assign(pair_key(left, right), Merge{rank, merged});
}

const BpeMerges::Merge* BpeMerges::find(int32_t left, int32_t right) const {
  const auto it = table_.find(pair_key(left, right));
  return it == table_.end() ? nullptr : &it->second;
}

void BpeMerges::apply(std::vector<int32_t>& symbols) const {
  if (symbols.size() < 2) return;
  const auto count = int32_t(symbols.size());
  std::vector<Link> links(symbols.size());
  for (int32_t i = 0; i < count; ++i) {
    links[i] = {symbols[i], i - 1, i + 1 < count ? i + 1 : kNone};
  }
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue;
  const auto offer = [&](int32_t position) {
    const int32_t next = links[position].next;
    if (next == kNone) return;
    const int32_t left = links[position].symbol, right = links[next].symbol;
    if (const Merge* merge = find(left, right)) {
      queue.push({merge->rank, position, left, right, merge->merged});
    }
  };
  for (int32_t i = 0; i + 1 < count; ++i) offer(i);

  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    Link& link = links[best.position];
    if (link.symbol != best.left || link.next == kNone || links[link.next].symbol != best.right) {
      continue;
    }
    Link& right = links[link.next];
    link.symbol = best.merged;
    link.next = right.next;
    right.symbol = kDead;
    if (link.next != kNone) links[link.next].previous = best.position;
    offer(best.position);
    if (link.previous != kNone) offer(link.previous);
  }

  symbols.clear();
  for (int32_t i = 0; i != kNone; i = links[i].next) symbols.push_back(links[i].symbol);
}

}  // namespace ttsft
