// The CPU half of prep: windows of clips, read, hashed, measured and made ready for the encoder.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "src/prep/content_key.h"
#include "ttsft/audio/guards.h"
#include "ttsft/data/prepared_set.h"
#include "ttsft/data/text_guards.h"
#include "ttsft/model/preparer.h"

namespace ttsft {

// One utterance on its way through prep, with what was found about it.
struct Clip {
  size_t number = 0;  // in the source's order
  PrepItem item;
  std::string key;
  bool reused = false;           // item.seconds and notes come from the earlier row
  nlohmann::ordered_json notes;  // {"sample_rate", "findings": {guard: message}}, kept with the row
  std::vector<Finding> findings;  // of the guards that are on
  std::string refused, guard;  // why the row cannot be used, and which guard says so; "" otherwise
};

using Window = std::vector<std::unique_ptr<Clip>>;

// How much a window may hold; more than one window is in memory at a time.
struct WindowLimits {
  size_t clips = 512;
  double seconds = 900;  // of audio to encode: 86 MB at 24 kHz
};

class ClipReader {
 public:
  // The earlier row with this key.
  using Reuse =
      std::function<std::optional<PreparedRow>(const std::string& id, const std::string& key)>;

  // All arguments must outlive the reader.
  ClipReader(const std::vector<Utterance>& utterances, const Preparer& preparer,
             const ContentKeys& keys, const GuardPolicy& policy, const TextGuards& texts,
             Reuse reuse, WindowLimits limits = {});

  // The next clips in the source's order; empty at the end, or when a stop was asked for. Errors of
  // a single clip are in the clip.
  Window next();
  bool at_end() const { return position_ == utterances_.size(); }
  void cancel() { cancelled_ = true; }  // from another thread: next() returns soon

 private:
  void read(Clip& clip) const;
  void read_audio(Clip& clip) const;
  void check_text(Clip& clip) const;
  void apply_policy(Clip& clip) const;
  void take(Clip& clip, const Finding& finding) const;
  bool stopped() const;

  const std::vector<Utterance>& utterances_;
  const Preparer& preparer_;
  const ContentKeys& keys_;
  const GuardPolicy& policy_;
  const TextGuards& texts_;
  GuardPolicy all_;  // every guard on: what is found does not depend on the run file
  AudioLimits audio_limits_;
  Reuse reuse_;
  WindowLimits limits_;
  size_t position_ = 0;
  std::atomic<bool> cancelled_{false};
};

}  // namespace ttsft
