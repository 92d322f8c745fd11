#include "ttsft/judge/whisper_windows.h"

#include <algorithm>

namespace ttsft {
namespace {

constexpr int64_t kFramesPerTimestamp = 2;

} // namespace

WindowText read_window(std::span<const int64_t> tokens, int64_t end,
                       int64_t first_timestamp, int64_t frames) {
  const auto is_stamp = [&](size_t i) { return tokens[i] >= first_timestamp; };
  const size_t count = tokens.size();
  const bool ends_with_one =
      count >= 2 && is_stamp(count - 1) && !is_stamp(count - 2);
  std::vector<size_t> cuts; // each between an end and a start
  for (size_t i = 1; i < count; ++i)
    if (is_stamp(i - 1) && is_stamp(i))
      cuts.push_back(i);

  WindowText window;
  window.frames = frames;
  const auto keep = [&](std::span<const int64_t> stretch) {
    for (const int64_t token : stretch)
      if (token < end)
        window.text.push_back(token);
  };
  if (cuts.empty()) {
    keep(tokens);
    return window;
  }
  if (ends_with_one)
    cuts.push_back(count);
  size_t begin = 0;
  for (const size_t cut : cuts) {
    const auto stretch = tokens.subspan(begin, cut - begin);
    if (stretch.front() != stretch.back())
      keep(stretch);
    begin = cut;
  }
  if (ends_with_one)
    return window; // nobody speaks behind it
  const int64_t last =
      (tokens[cuts.back() - 1] - first_timestamp) * kFramesPerTimestamp;
  if (last > 0)
    window.frames = std::min(last, frames);
  return window;
}

} // namespace ttsft
