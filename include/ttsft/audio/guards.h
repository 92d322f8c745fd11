// Measurements that decide whether a recording may be learned from, and the guards built on them.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "ttsft/audio/audio.h"

namespace ttsft {

struct AudioStats {
  double seconds = 0;
  double peak = 0;  // largest |x|
  double rms = 0;
  double clipped_share = 0;     // share of samples in runs of two or more at full scale
  double silence_share = 0;     // share of 20 ms windows 50 dB or more below the loudest
  double leading_silence = 0;   // seconds
  double trailing_silence = 0;  // seconds
  double bandwidth_hz =
      0;  // highest frequency that carries content; an upsampled file shows its old limit
  int64_t bad_values = 0;  // NaN or infinite
};
AudioStats measure(const Audio& audio);

enum class GuardAction { kRefuse, kWarn, kOff };

// Every guard has a name, a default action and a remedy; data.guards in the run file moves the
// action.
struct GuardInfo {
  std::string name;
  GuardAction action;
  std::string help;
};
const std::vector<GuardInfo>& audio_guards();

struct Finding {
  std::string guard;
  GuardAction action;
  std::string message;  // "content ends at 7.9 kHz in a 44.1 kHz file: it was upsampled ..."
};

// Actions by guard name, defaults overlaid with data.guards. Unknown names are UsageErrors with the
// nearest known.
class GuardPolicy {
 public:
  GuardPolicy();
  void set(const std::string& guard, const std::string& action);  // "refuse" | "warn" | "off"
  GuardAction action(const std::string& guard) const;

 private:
  std::map<std::string, GuardAction> actions_;
};

// The defaults, moved as data.guards says.
GuardPolicy guard_policy(const std::map<std::string, std::string>& moved);

// What a model asks of a recording.
struct AudioLimits {
  int sample_rate = 0;  // the encoder's input rate: bandwidth far below its half is reported
  double min_seconds = 0.3;
  double max_seconds = 60;
};

// Findings of the guards that are on, refusals first. An empty list: nothing to say.
std::vector<Finding> check_audio(const AudioFile& file, const AudioStats& stats,
                                 const AudioLimits& limits, const GuardPolicy& policy);

// What speaks against a recording as a voice to speak with. Lengths and silence are judged for
// that: a reference is heard, not learned from. DataError: it cannot be read.
std::vector<Finding> check_reference(const std::filesystem::path& file, int sample_rate,
                                     const GuardPolicy& policy);

}  // namespace ttsft
