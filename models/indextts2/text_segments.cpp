#include <algorithm>
#include <iterator>

#include "models/indextts2/text.h"
#include "ttsft/core/error.h"

namespace ttsft::indextts2 {
namespace {

using Pieces = std::vector<std::string>;

const Pieces kSentenceMarks = {".", "!", "?", "▁.", "▁?", "▁..."};
const Pieces kCommas = {",", "▁,"};
const Pieces kHyphens = {"-"};
const Pieces kApostrophes = {"'", "▁'"};

bool is_in(const std::string& piece, const Pieces& set) {
  return std::find(set.begin(), set.end(), piece) != set.end();
}

bool any_of(const Pieces& pieces, const Pieces& set) {
  return std::any_of(pieces.begin(), pieces.end(),
                     [&](const std::string& piece) { return is_in(piece, set); });
}

std::vector<Pieces> chunks(const Pieces& pieces, size_t size) {
  std::vector<Pieces> parts;
  for (size_t begin = 0; begin < pieces.size(); begin += size) {
    const size_t end = std::min(begin + size, pieces.size());
    parts.emplace_back(pieces.begin() + std::ptrdiff_t(begin),
                       pieces.begin() + std::ptrdiff_t(end));
  }
  return parts;
}

// Neighbours that fit into one segment together, or into half of one where it is too early to join.
std::vector<Pieces> join(const std::vector<Pieces>& parts, const SegmentLimits& limits) {
  std::vector<Pieces> joined;
  int64_t total = 0;
  for (const Pieces& part : parts) {
    total += int64_t(part.size());
    if (part.empty()) continue;
    const int64_t both = joined.empty() ? 0 : int64_t(joined.back().size() + part.size());
    const bool fits =
        (both <= limits.max_tokens && total > limits.quick_tokens) || 2 * both <= limits.max_tokens;
    if (joined.empty() || !fits) {
      joined.push_back(part);
    } else {
      joined.back().insert(joined.back().end(), part.begin(), part.end());
    }
  }
  return joined;
}

// `count` is upstream's: the pieces read since the last cut, without a doubled apostrophe.
std::vector<Pieces> split(const Pieces& pieces, const Pieces& marks, const SegmentLimits& limits) {
  std::vector<Pieces> parts;
  Pieces current;
  int64_t count = 0;
  for (size_t i = 0; i < pieces.size(); ++i) {
    current.push_back(pieces[i]);
    ++count;
    std::vector<Pieces> cut;
    if (!any_of(marks, kCommas) && any_of(current, kCommas)) {
      cut = split(current, kCommas, limits);
    } else if (!any_of(marks, kHyphens) && any_of(current, kHyphens)) {
      cut = split(current, kHyphens, limits);
    } else if (count > limits.max_tokens) {
      cut = chunks(current, size_t(limits.max_tokens));
    } else if (is_in(pieces[i], marks) && count > 2) {
      // Upstream means to skip the apostrophe and does not: the next segment begins with it again.
      if (i + 1 < pieces.size() && is_in(pieces[i + 1], kApostrophes)) {
        current.push_back(pieces[i + 1]);
      }
      cut.push_back(std::move(current));
    } else {
      continue;
    }
    std::move(cut.begin(), cut.end(), std::back_inserter(parts));
    current.clear();
    count = 0;
  }
  if (count > 0) parts.push_back(std::move(current));
  return join(parts, limits);
}

}  // namespace

std::vector<Pieces> split_segments(const Pieces& pieces, const SegmentLimits& limits) {
  if (limits.max_tokens < 1) {
    throw UsageError("segments of at most " + std::to_string(limits.max_tokens) + " tokens", {},
                     "give a limit of 1 or more");
  }
  return split(pieces, kSentenceMarks, limits);
}

}  // namespace ttsft::indextts2
