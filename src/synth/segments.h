// Segments of texts on their way through the decoding loop.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "speaker.h"

namespace ttsft {

struct Segment {
  size_t text = 0, index = 0;  // which text, which of its segments
  std::string words;
};

// What has become of one segment.
struct SegmentResult {
  torch::Tensor codes;
  Audio audio;
  bool reached_limit = false;
  bool spoken = false, decoded = false;
};

// Hands out segments: of like length together, longest first within a window of texts, so that a
// long list is delivered as it goes and its memory shows at once. Where the segments of a text are
// chained, one comes out when those before it have been spoken.
class SegmentQueue {
 public:
  // DataError: a text without anything to speak.
  SegmentQueue(const Synthesizer& synthesizer, const std::vector<TextToSpeak>& texts);

  bool empty() const { return ready_.empty(); }
  int64_t total() const { return total_; }
  Segment next();
  void put_back(const std::vector<Segment>& segments);  // they come out again, first
  void spoken(const Segment& segment);                  // chained: the next one may come out
  int64_t segments_of(size_t text) const { return std::ssize(pieces_.at(text)); }
  const std::string& words(size_t text, size_t index) const { return pieces_.at(text).at(index); }
  // "line 7, segment 2"
  std::string place(const Segment& segment) const;

 private:
  const std::vector<TextToSpeak>& texts_;
  bool chained_;
  int64_t total_ = 0;
  std::vector<std::vector<std::string>> pieces_;
  std::deque<Segment> ready_;
};

}  // namespace ttsft
