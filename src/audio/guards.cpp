#include "ttsft/audio/guards.h"

#include <algorithm>
#include <array>
#include <cstdarg>
#include <cstdio>

#include "ttsft/core/error.h"
#include "ttsft/core/strings.h"

namespace ttsft {
namespace {

constexpr double kSilentPeak = 3.2e-4;  // -70 dB of full scale: ten steps of 16 bits
constexpr double kClippedShare = 1e-3;
constexpr double kSilenceShare = 0.5;
constexpr double kEdgeSilence = 1.0;     // seconds before the first or behind the last sound
constexpr double kBandwidthShare = 0.8;  // of what the encoder hears
constexpr double kDeadChannel = 1e-3;    // of the loudest channel
constexpr double kCancelled = 0.1;       // of the channels' mean level, left after averaging

__attribute__((format(printf, 1, 2))) std::string text_of(const char* format, ...) {
  std::array<char, 512> buffer{};
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(buffer.data(), buffer.size(), format, arguments);
  va_end(arguments);
  return buffer.data();
}

struct Inputs {
  const AudioFile& file;
  const AudioStats& stats;
  const AudioLimits& limits;
};

// Each check returns its message, or "" when there is nothing to say.

std::string check_empty(const Inputs& in) {
  if (!in.file.audio.samples.empty()) return {};
  return "there are no samples; drop the row or restore the file";
}

std::string check_nan(const Inputs& in) {
  if (in.stats.bad_values == 0) return {};
  return text_of("NaN or infinite samples: %lld; export the recording again",
                 static_cast<long long>(in.stats.bad_values));
}

std::string check_silent(const Inputs& in) {
  if (in.file.audio.samples.empty() || in.stats.bad_values > 0 || in.stats.peak >= kSilentPeak) {
    return {};
  }
  return text_of("nothing but silence (peak %.6f of full scale); drop the row or restore the file",
                 in.stats.peak);
}

std::string check_bandwidth(const Inputs& in) {
  const int rate = in.file.audio.sample_rate;
  const int wanted = in.limits.sample_rate > 0 ? in.limits.sample_rate : rate;
  const double content = in.stats.bandwidth_hz, hears = wanted / 2.0;
  if (content <= 0 || content >= kBandwidthShare * hears) return {};
  const char* remedy =
      "the voice would be learned dull: use the original recording, or set data.guards.bandwidth "
      "to off";
  if (content < kBandwidthShare * rate / 2.0) {
    return text_of(
        "content ends at %.1f kHz in a %g kHz file (upsampled or low-passed), the encoder hears up "
        "to "
        "%g kHz; %s",
        content / 1000, rate / 1000.0, hears / 1000, remedy);
  }
  return text_of(
      "a %g kHz file has content up to %.1f kHz only, the encoder takes %g kHz and hears up to %g "
      "kHz; %s",
      rate / 1000.0, content / 1000, wanted / 1000.0, hears / 1000, remedy);
}

std::string check_clipping(const Inputs& in) {
  if (in.stats.clipped_share <= kClippedShare) return {};
  return text_of("%.2f %% of the samples are clipped; record or export at a lower level",
                 100 * in.stats.clipped_share);
}

std::string check_silence(const Inputs& in) {
  const AudioStats& stats = in.stats;
  if (stats.peak < kSilentPeak) return {};  // audio_silent says it
  if (stats.leading_silence <= kEdgeSilence && stats.trailing_silence <= kEdgeSilence &&
      stats.silence_share <= kSilenceShare) {
    return {};
  }
  return text_of(
      "silence: %.1f s before, %.1f s behind, %.0f %% in all; trim it, or the model learns to "
      "pause",
      stats.leading_silence, stats.trailing_silence, 100 * stats.silence_share);
}

std::string check_short(const Inputs& in) {
  if (in.file.audio.samples.empty() || in.stats.seconds >= in.limits.min_seconds) return {};
  return text_of("%.2f s is shorter than %g s; join it with its neighbour or drop the row",
                 in.stats.seconds, in.limits.min_seconds);
}

std::string check_long(const Inputs& in) {
  if (in.stats.seconds <= in.limits.max_seconds) return {};
  return text_of("%.1f s is longer than %g s; cut it at sentences", in.stats.seconds,
                 in.limits.max_seconds);
}

std::string check_channels(const Inputs& in) {
  const std::vector<double>& rms = in.file.channel_rms;
  if (rms.size() < 2) return {};
  const double loudest = *std::max_element(rms.begin(), rms.end());
  if (!(loudest > 0)) return {};
  double sum = 0;
  for (const double channel : rms) sum += channel;
  if (in.stats.rms < kCancelled * sum / double(rms.size())) {
    return text_of("the %zu channels cancel each other (one is inverted); keep one of them",
                   rms.size());
  }
  for (size_t c = 0; c < rms.size(); ++c) {
    if (rms[c] >= kDeadChannel * loudest) continue;
    return text_of("channel %zu of %zu is silent and averaging lowers the level; keep the live one",
                   c + 1, rms.size());
  }
  return {};
}

struct Guard {
  GuardInfo info;
  std::string (*check)(const Inputs&);  // nullptr: applied by those who read, resample or prepare
};

const std::vector<Guard>& guards() {
  static const std::vector<Guard> list = {
      {{"audio_missing", GuardAction::kRefuse, "the audio file of a row does not exist"}, nullptr},
      {{"audio_unreadable", GuardAction::kRefuse, "a file that cannot be decoded"}, nullptr},
      {{"audio_empty", GuardAction::kRefuse, "no samples"}, check_empty},
      {{"audio_nan", GuardAction::kRefuse, "NaN or infinite samples"}, check_nan},
      {{"audio_silent", GuardAction::kRefuse, "nothing above -70 dB of full scale"}, check_silent},
      {{"text_empty", GuardAction::kRefuse, "a row without text"}, nullptr},
      {{"bandwidth", GuardAction::kWarn, "content ends far below what the encoder hears"},
       check_bandwidth},
      {{"clipping", GuardAction::kWarn, "more than 0.1 % of the samples clipped"}, check_clipping},
      {{"silence", GuardAction::kWarn, "more than 1 s at an end, or half of the file"},
       check_silence},
      {{"length_short", GuardAction::kWarn, "shorter than the model learns from"}, check_short},
      {{"length_long", GuardAction::kWarn, "longer than the model learns from"}, check_long},
      {{"channels", GuardAction::kWarn, "a silent or inverted channel"}, check_channels},
      {{"resampling", GuardAction::kWarn, "the file's rate is not the encoder's"}, nullptr},
      {{"text_control", GuardAction::kWarn, "invisible control or direction characters in a text"},
       nullptr},
      {{"text_markup", GuardAction::kWarn, "markup in a text that would be read aloud"}, nullptr},
      {{"text_unspoken", GuardAction::kRefuse, "a text without a letter or a digit"}, nullptr},
      {{"text_unknown", GuardAction::kWarn, "letters that the tokenizer does not know, in synth"},
       nullptr},
      {{"text_rate", GuardAction::kWarn, "a text three times too long or short for its recording"},
       nullptr},
      {{"few_clips", GuardAction::kWarn, "fewer than 256 clips in the set"}, nullptr},
      {{"license", GuardAction::kWarn, "the model's licence forbids commercial use"}, nullptr},
  };
  return list;
}

}  // namespace

const std::vector<GuardInfo>& audio_guards() {
  static const std::vector<GuardInfo> infos = [] {
    std::vector<GuardInfo> list;
    for (const Guard& guard : guards()) list.push_back(guard.info);
    return list;
  }();
  return infos;
}

GuardPolicy::GuardPolicy() {
  for (const GuardInfo& info : audio_guards()) actions_[info.name] = info.action;
}

GuardPolicy guard_policy(const std::map<std::string, std::string>& moved) {
  GuardPolicy policy;
  for (const auto& [guard, action] : moved) policy.set(guard, action);
  return policy;
}

void GuardPolicy::set(const std::string& guard, const std::string& action) {
  const auto it = actions_.find(guard);
  if (it == actions_.end()) {
    std::vector<std::string> known;
    for (const GuardInfo& info : audio_guards()) known.push_back(info.name);
    const std::string near = nearest(guard, known);
    throw UsageError("unknown guard '" + guard + "'", "data.guards",
                     near.empty() ? "known: " + join(known, ", ") : "did you mean '" + near + "'?");
  }
  if (action == "refuse") {
    it->second = GuardAction::kRefuse;
  } else if (action == "warn") {
    it->second = GuardAction::kWarn;
  } else if (action == "off") {
    it->second = GuardAction::kOff;
  } else {
    throw UsageError("unknown action '" + action + "'", "data.guards." + guard,
                     "use refuse, warn or off");
  }
}

GuardAction GuardPolicy::action(const std::string& guard) const {
  const auto it = actions_.find(guard);
  if (it == actions_.end()) throw UsageError("unknown guard '" + guard + "'", "data.guards");
  return it->second;
}

namespace {

constexpr double kLeastReference = 0.3;  // seconds: less is no voice
constexpr double kShortReference = 2;    // what models are made for begins about here
constexpr double kLongReference = 30;    // more than any of them hears

std::string reference_length(double seconds) {
  if (seconds < kShortReference) return text_of("a voice of %.2f s: 3 to 10 s are best", seconds);
  if (seconds > kLongReference)
    return text_of("a voice of %.1f s, of which models hear the first part: 3 to 10 s are best",
                   seconds);
  return {};
}

}  // namespace

std::vector<Finding> check_reference(const std::filesystem::path& path, int sample_rate,
                                     const GuardPolicy& policy) {
  const AudioFile file = decode_audio(path);
  const AudioStats stats = measure(file.audio);
  std::vector<Finding> findings;
  for (Finding& finding : check_audio(file, stats, {.sample_rate = sample_rate}, policy)) {
    if (finding.guard == "length_short" || finding.guard == "length_long") continue;
    if (finding.guard == "bandwidth") finding.message = "a dull voice: " + finding.message;
    findings.push_back(std::move(finding));
  }
  const std::string length = reference_length(stats.seconds);
  const char* guard = stats.seconds > kLongReference ? "length_long" : "length_short";
  GuardAction action = policy.action(guard);
  if (stats.seconds < kLeastReference) action = GuardAction::kRefuse;
  if (!length.empty() && !file.audio.samples.empty() && action != GuardAction::kOff)
    findings.push_back({guard, action, length});
  std::stable_partition(findings.begin(), findings.end(), [](const Finding& finding) {
    return finding.action == GuardAction::kRefuse;
  });
  return findings;
}

std::vector<Finding> check_audio(const AudioFile& file, const AudioStats& stats,
                                 const AudioLimits& limits, const GuardPolicy& policy) {
  const Inputs inputs{file, stats, limits};
  std::vector<Finding> findings;
  for (const Guard& guard : guards()) {
    const GuardAction action = policy.action(guard.info.name);
    if (!guard.check || action == GuardAction::kOff) continue;
    const std::string message = guard.check(inputs);
    if (!message.empty()) findings.push_back({guard.info.name, action, message});
  }
  std::stable_partition(findings.begin(), findings.end(), [](const Finding& finding) {
    return finding.action == GuardAction::kRefuse;
  });
  return findings;
}

}  // namespace ttsft
