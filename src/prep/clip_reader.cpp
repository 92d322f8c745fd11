#include "src/prep/clip_reader.h"

#include <algorithm>

#include "ttsft/core/error.h"
#include "ttsft/core/signals.h"
#include "ttsft/core/threads.h"

namespace ttsft {
namespace {

constexpr const char* kUnreadable = "audio_unreadable";
constexpr const char* kEmpty = "audio_empty";
constexpr const char* kResampling = "resampling";
constexpr const char* kModel = "model";  // the model itself refused the row

std::string resampling_message(int from, int to) {
  return std::to_string(from) + " Hz file for an encoder that takes " + std::to_string(to) + " Hz";
}

}  // namespace

ClipReader::ClipReader(const std::vector<Utterance>& utterances, const Preparer& preparer,
                       const ContentKeys& keys, const GuardPolicy& policy, const TextGuards& texts,
                       Reuse reuse, WindowLimits limits)
    : utterances_(utterances),
      preparer_(preparer),
      keys_(keys),
      policy_(policy),
      texts_(texts),
      audio_limits_(preparer.limits()),
      reuse_(std::move(reuse)),
      limits_(limits) {
  for (const GuardInfo& guard : audio_guards()) all_.set(guard.name, "warn");
}

bool ClipReader::stopped() const {
  return cancelled_ || stop_signal() != 0;
}

Window ClipReader::next() {
  Window window;
  double seconds = 0;
  const int threads = cpu_threads();
  const auto chunk = static_cast<size_t>(4 * threads);  // how far a window may overshoot
  while (!at_end() && window.size() < limits_.clips && seconds < limits_.seconds && !stopped()) {
    const size_t first = window.size();
    const size_t count =
        std::min({chunk, utterances_.size() - position_, limits_.clips - window.size()});
    for (size_t i = 0; i < count; ++i) {
      auto clip = std::make_unique<Clip>();
      clip->number = position_++;
      clip->item.utterance = &utterances_[clip->number];
      window.push_back(std::move(clip));
    }
    parallel_for(static_cast<int64_t>(count), threads,
                 [&](int64_t i) { read(*window[first + static_cast<size_t>(i)]); });
    for (size_t i = first; i < window.size(); ++i) {
      if (!window[i]->reused) seconds += window[i]->item.seconds;
    }
  }
  return window;
}

void ClipReader::read(Clip& clip) const {
  const Utterance& utterance = *clip.item.utterance;
  const bool with_audio = preparer_.needs_audio(utterance);
  check_text(clip);
  if (!clip.refused.empty()) return;
  try {
    clip.key = keys_.key(utterance, with_audio, preparer_.content_hash(utterance));
    const std::optional<PreparedRow> row = reuse_(utterance.id, clip.key);
    if (row && preparer_.intact(row->row)) {
      clip.reused = true;
      clip.item.seconds = row->seconds;
      clip.notes = row->notes;
    } else if (with_audio) {
      read_audio(clip);
    }
  } catch (const DataError& error) {
    clip.refused = error.what();
    clip.guard = kUnreadable;
    return;
  }
  apply_policy(clip);
  if (!clip.reused && clip.refused.empty()) {
    try {
      preparer_.load(clip.item);
    } catch (const DataError& error) {
      clip.item.refused = error.what();
    }
    if (!clip.item.refused.empty()) {
      clip.refused = clip.item.refused;
      clip.guard = kModel;
    }
  }
  clip.item.audio = {};  // at the file's own rate: what encode() needs is in `wave`
}

void ClipReader::read_audio(Clip& clip) const {
  AudioFile file = decode_audio(clip.item.utterance->audio_path);
  const AudioStats stats = measure(file.audio);
  clip.item.seconds = file.audio.seconds();
  clip.notes["sample_rate"] = file.audio.sample_rate;
  for (const Finding& finding : check_audio(file, stats, audio_limits_, all_)) {
    clip.notes["findings"][finding.guard] = finding.message;
  }
  if (file.audio.sample_rate != audio_limits_.sample_rate) {
    clip.notes["findings"][kResampling] =
        resampling_message(file.audio.sample_rate, audio_limits_.sample_rate);
  }
  clip.item.audio = std::move(file.audio);
}

void ClipReader::apply_policy(Clip& clip) const {
  const auto found = clip.notes.find("findings");
  if (found == clip.notes.end()) return;
  for (const auto& [guard, message] : found->items()) {
    // Nothing can be encoded from no samples, whatever the run file says.
    const GuardAction action = guard == kEmpty ? GuardAction::kRefuse : policy_.action(guard);
    if (action == GuardAction::kOff) continue;
    take(clip, {guard, action, message.get<std::string>()});
  }
}

// A row that upstream's tools encoded may have no text.
void ClipReader::check_text(Clip& clip) const {
  const std::string& text = clip.item.utterance->text;
  if (text.empty()) return;
  for (const Finding& finding : texts_.check(text, policy_)) take(clip, finding);
}

void ClipReader::take(Clip& clip, const Finding& finding) const {
  clip.findings.push_back(finding);
  if (finding.action != GuardAction::kRefuse || !clip.refused.empty()) return;
  clip.refused = finding.message;
  clip.guard = finding.guard;
}

}  // namespace ttsft
