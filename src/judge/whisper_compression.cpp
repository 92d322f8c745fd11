// How many bytes deflate (RFC 1951) makes of a text, by counting bits.
#include <algorithm>
#include <array>
#include <cstddef>
#include <functional>
#include <map>
#include <queue>
#include <string_view>
#include <utility>
#include <vector>

#include "ttsft/judge/whisper_windows.h"

namespace ttsft {
namespace {

constexpr size_t kShortest = 3, kLongest = 258, kWindow = 32768;
constexpr size_t kChain = 128, kLazy = 16, kTooFar = 4096; // zlib's level 6
constexpr size_t kEndOfBlock = 256, kSymbols = 286, kDistances = 30;
constexpr int64_t kWrapper = 6; // bytes of zlib's header and checksum

struct Match {
  size_t length = 0, distance = 0;
};

// Symbol of a length (from 257 on) or distance, and the bits that follow it.
// `step`: how many symbols share a number of bits.
std::pair<size_t, size_t> bucket(size_t value, size_t step) {
  size_t extra = 0;
  while ((value >> extra) >= 2 * step)
    ++extra;
  return {extra * step + (value >> extra), extra};
}

class Counter {
public:
  void literal(unsigned char byte) { ++symbols_[byte]; }
  void match(const Match &match) {
    auto [symbol, extra] = bucket(match.length - kShortest, 4);
    if (match.length == kLongest)
      std::tie(symbol, extra) = std::pair<size_t, size_t>{28, 0};
    ++symbols_[257 + symbol];
    const auto [place, more] = bucket(match.distance - 1, 2);
    ++distances_[place];
    extra_ += static_cast<int64_t>(extra + more);
  }
  int64_t bits() {
    ++symbols_[kEndOfBlock];
    return 3 + extra_ + std::min(fixed(), own());
  }

private:
  using Lengths = std::vector<size_t>;

  int64_t fixed() const {
    int64_t bits = 0;
    for (size_t i = 0; i < kSymbols; ++i)
      bits += symbols_[i] * (i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8);
    for (const int64_t count : distances_)
      bits += 5 * count;
    return bits;
  }

  int64_t own() const {
    Lengths lengths;
    int64_t bits = code(symbols_, lengths, 257);
    const size_t symbols = lengths.size();
    bits += code(distances_, lengths, symbols + 1);
    // Lengths of codes, with runs of zeros and of the same.
    std::array<int64_t, 19> runs{};
    int64_t extra = 0;
    for (size_t i = 0; i < lengths.size();) {
      size_t run = 1;
      while (i + run < lengths.size() && lengths[i + run] == lengths[i])
        ++run;
      if (lengths[i] == 0 && run >= 3) {
        run = std::min<size_t>(run, 138);
        ++runs[run <= 10 ? 17 : 18];
        extra += run <= 10 ? 3 : 7;
      } else if (lengths[i] != 0 && i > 0 && lengths[i] == lengths[i - 1] &&
                 run >= 3) {
        run = std::min<size_t>(run, 6);
        ++runs[16];
        extra += 2;
      } else {
        run = 1;
        ++runs[lengths[i]];
      }
      i += run;
    }
    constexpr std::array<size_t, 19> kOrder = {
        16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
    Lengths unused;
    bits += code(runs, unused, 0) + extra;
    size_t told = kOrder.size();
    while (told > 4 && runs[kOrder[told - 1]] == 0)
      --told;
    return bits + 14 + 3 * static_cast<int64_t>(told);
  }

  // Bits of all symbols in Huffman's code; the lengths of the codes go behind
  // `lengths`, which has at least so many entries afterwards. Codes longer than
  // deflate allows do not come of texts.
  template <size_t N>
  static int64_t code(const std::array<int64_t, N> &counts, Lengths &lengths,
                      size_t least) {
    using Node = std::pair<int64_t, size_t>;
    std::priority_queue<Node, std::vector<Node>, std::greater<>> open;
    std::vector<std::pair<size_t, size_t>> children;
    for (size_t i = 0; i < N; ++i)
      if (counts[i] > 0)
        open.emplace(counts[i], i);
    std::vector<size_t> depth(N, 0);
    if (open.size() == 1)
      depth[open.top().second] = 1;
    int64_t bits = open.size() == 1 ? open.top().first : 0;
    while (open.size() > 1) {
      const Node a = open.top();
      open.pop();
      const Node b = open.top();
      open.pop();
      bits += a.first + b.first;
      open.emplace(a.first + b.first, N + children.size());
      children.emplace_back(a.second, b.second);
    }
    depth.resize(N + children.size(), 0);
    for (size_t i = children.size(); i-- > 0;)
      for (const size_t child : {children[i].first, children[i].second})
        depth[child] = depth[N + i] + 1;
    size_t used = N;
    while (used > 0 && depth[used - 1] == 0)
      --used;
    lengths.insert(lengths.end(), depth.begin(),
                   depth.begin() + static_cast<ptrdiff_t>(used));
    lengths.resize(std::max(lengths.size(), least), 0);
    return bits;
  }

  std::array<int64_t, kSymbols> symbols_{};
  std::array<int64_t, kDistances> distances_{};
  int64_t extra_ = 0;
};

// Where three bytes have stood so far.
class Matcher {
public:
  explicit Matcher(std::string_view text) : text_(text) {}

  Match longest(size_t at) const {
    Match best;
    if (at + kShortest > text_.size())
      return best;
    const auto found = places_.find(text_.substr(at, kShortest));
    if (found == places_.end())
      return best;
    const std::vector<size_t> &places = found->second;
    const size_t most = std::min(kLongest, text_.size() - at);
    for (size_t i = 0; i < std::min(kChain, places.size()); ++i) {
      const size_t place = places[places.size() - 1 - i];
      if (at - place > kWindow)
        break;
      size_t length = kShortest;
      while (length < most && text_[place + length] == text_[at + length])
        ++length;
      if (length > best.length)
        best = {length, at - place};
    }
    return best.length == kShortest && best.distance > kTooFar ? Match{} : best;
  }
  void learn(size_t at) {
    if (at + kShortest <= text_.size())
      places_[text_.substr(at, kShortest)].push_back(at);
  }

private:
  std::string_view text_;
  std::map<std::string_view, std::vector<size_t>> places_;
};

int64_t deflated_bytes(std::string_view text) {
  Counter counter;
  Matcher matcher(text);
  for (size_t at = 0; at < text.size();) {
    Match match = matcher.longest(at);
    matcher.learn(at);
    // A match waits for a longer one that begins a byte later.
    while (match.length >= kShortest && match.length < kLazy) {
      const Match later = matcher.longest(at + 1);
      if (later.length <= match.length)
        break;
      counter.literal(static_cast<unsigned char>(text[at]));
      match = later;
      matcher.learn(++at);
    }
    if (match.length < kShortest) {
      counter.literal(static_cast<unsigned char>(text[at++]));
      continue;
    }
    counter.match(match);
    for (size_t i = 1; i < match.length; ++i)
      matcher.learn(at + i);
    at += match.length;
  }
  return (counter.bits() + 7) / 8 + kWrapper;
}

} // namespace

double compression_ratio(std::string_view text) {
  return static_cast<double>(text.size()) /
         static_cast<double>(deflated_bytes(text));
}

} // namespace ttsft
