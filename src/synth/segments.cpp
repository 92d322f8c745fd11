#include "segments.h"

#include <algorithm>

#include "ttsft/core/error.h"

namespace ttsft {
namespace {

constexpr std::ptrdiff_t kWindow = 256;  // segments that are sorted by length together

}  // namespace

SegmentQueue::SegmentQueue(const Synthesizer& synthesizer, const std::vector<TextToSpeak>& texts)
    : texts_(texts), chained_(synthesizer.speaking().chained) {
  for (size_t t = 0; t < texts.size(); ++t) {
    pieces_.push_back(synthesizer.segments(texts[t].words));
    const std::vector<std::string>& pieces = pieces_.back();
    if (pieces.empty()) throw DataError("there is nothing to speak", texts[t].label);
    total_ += std::ssize(pieces);
    const size_t open = chained_ ? 1 : pieces.size();
    for (size_t i = 0; i < open; ++i) ready_.push_back({t, i, pieces[i]});
  }
  for (auto begin = ready_.begin(); begin != ready_.end();) {
    const auto end = begin + std::min(kWindow, ready_.end() - begin);
    std::stable_sort(begin, end, [](const Segment& a, const Segment& b) {
      return a.words.size() > b.words.size();
    });
    begin = end;
  }
}

Segment SegmentQueue::next() {
  Segment segment = std::move(ready_.front());
  ready_.pop_front();
  return segment;
}

void SegmentQueue::put_back(const std::vector<Segment>& segments) {
  ready_.insert(ready_.begin(), segments.begin(), segments.end());
}

void SegmentQueue::spoken(const Segment& segment) {
  const std::vector<std::string>& pieces = pieces_.at(segment.text);
  if (!chained_ || segment.index + 1 == pieces.size()) return;
  // First, so that a text is whole soon.
  ready_.push_front({segment.text, segment.index + 1, pieces[segment.index + 1]});
}

std::string SegmentQueue::place(const Segment& segment) const {
  const std::string& label = texts_.at(segment.text).label;
  if (segments_of(segment.text) == 1) return label;
  return label + ", segment " + std::to_string(segment.index + 1);
}

}  // namespace ttsft
