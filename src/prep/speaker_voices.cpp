#include "src/prep/speaker_voices.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <set>

#include "ttsft/core/error.h"
#include "ttsft/core/hash.h"
#include "ttsft/core/log.h"
#include "ttsft/core/threads.h"
#include "ttsft/data/importers.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;

constexpr double kLeastVoice = 3, kMostVoice = 10;  // seconds
constexpr size_t kHeard = 16;                       // clips of a speaker
constexpr size_t kHeardInAll = 4000;                // in sets of very many speakers fewer each
constexpr size_t kSaid = 8;                         // choices in the log

// Guards that say nothing about one clip of a set against another.
bool counts(const std::string& guard) {
  return guard != "bandwidth" && guard != "length_short" && guard != "length_long";
}

struct Candidate {
  const Utterance* row = nullptr;
  double seconds = 0;
  size_t findings = 0;
  bool usable = false;

  // Seconds that it is too short or too long.
  double beyond() const { return std::max({0.0, kLeastVoice - seconds, seconds - kMostVoice}); }
  bool better_than(const Candidate& other) const {
    if (usable != other.usable) return usable;
    if (findings != other.findings) return findings < other.findings;
    if (beyond() != other.beyond()) return beyond() < other.beyond();
    return seconds != other.seconds ? seconds > other.seconds : row->id < other.row->id;
  }
};

void hear(Candidate& candidate, const AudioLimits& limits) {
  try {
    const AudioFile file = decode_audio(candidate.row->audio_path);
    const AudioStats stats = measure(file.audio);
    candidate.seconds = file.audio.seconds();
    candidate.usable = true;
    for (const Finding& finding : check_audio(file, stats, limits, GuardPolicy())) {
      candidate.findings += counts(finding.guard);
      if (finding.action == GuardAction::kRefuse) candidate.usable = false;
    }
  } catch (const DataError&) {
    candidate.usable = false;  // prep refuses the row by itself
  }
}

// The first of them by the hash of their ids: a clip that is added seldom changes them.
std::vector<Candidate> candidates(std::vector<const Utterance*> clips, size_t count) {
  std::erase_if(clips, [](const Utterance* row) { return row->audio_path.empty(); });
  const auto by_hash = [](const Utterance* a, const Utterance* b) {
    return hash_fraction(a->id) < hash_fraction(b->id);
  };
  count = std::min(count, clips.size());
  std::partial_sort(clips.begin(), clips.begin() + static_cast<std::ptrdiff_t>(count), clips.end(),
                    by_hash);
  std::vector<Candidate> chosen;
  for (size_t i = 0; i < count; ++i) chosen.push_back({clips[i]});
  return chosen;
}

VoiceRecording of_clip(const Utterance& row) {
  return {row.audio_path, row.text, row.id};
}

// A file that somebody named; where it is a clip of the set its words are known.
VoiceRecording of_file(const fs::path& file, const std::vector<const Utterance*>& clips) {
  const fs::path path = fs::absolute(file).lexically_normal();
  for (const Utterance* row : clips)
    if (row->audio_path.lexically_normal() == path) return of_clip(*row);
  return {path, "", ""};
}

}  // namespace

VoiceRecordings choose_voices(const std::vector<Utterance>& rows, const ReferenceChoice& given,
                              const std::map<std::string, std::string>& earlier,
                              const AudioLimits& limits) {
  std::map<std::string, std::vector<const Utterance*>> speakers;
  for (const Utterance& row : rows) speakers[row.speaker].push_back(&row);
  const size_t heard =
      std::clamp<size_t>(kHeardInAll / std::max<size_t>(1, speakers.size()), 1, kHeard);
  VoiceRecordings voices;
  size_t said = 0;
  for (const auto& [speaker, clips] : speakers) {
    fs::path file = reference_of(given, speaker);
    for (const Utterance* row : clips)
      if (file.empty()) file = row->reference_path;
    if (!file.empty()) {
      voices[speaker] = of_file(file, clips);
      continue;
    }
    const auto kept = earlier.find(speaker);
    const auto again = std::find_if(clips.begin(), clips.end(), [&](const Utterance* row) {
      return kept != earlier.end() && row->id == kept->second && !row->audio_path.empty();
    });
    if (again != clips.end()) {
      voices[speaker] = of_clip(**again);
      continue;
    }
    std::vector<Candidate> list = candidates(clips, heard);
    parallel_for(std::ssize(list), cpu_threads(),
                 [&](int64_t i) { hear(list[static_cast<size_t>(i)], limits); });
    const auto best = std::min_element(
        list.begin(), list.end(), [](const auto& a, const auto& b) { return a.better_than(b); });
    if (best == list.end() || !best->usable) continue;
    voices[speaker] = of_clip(*best->row);
    if (++said > kSaid) continue;
    char seconds[32];
    std::snprintf(seconds, sizeof seconds, "%.1f s", best->seconds);
    log_info("voice of ", speaker.empty() ? "the speaker" : speaker, ": clip ", best->row->id, ", ",
             seconds, ", chosen from its clips (data.reference names another)");
  }
  if (said > kSaid)
    log_info("voices of ", said - kSaid, " more speakers: chosen likewise, see index.json");
  return voices;
}

void check_references(
    const std::vector<Utterance>& rows, const ReferenceChoice& given, int sample_rate,
    const GuardPolicy& policy,
    const std::function<void(const Utterance& row, const Finding& finding)>& refuse) {
  std::set<fs::path> named;
  if (!given.file.empty()) named.insert(fs::absolute(given.file));
  for (const auto& [speaker, file] : given.by_speaker) named.insert(fs::absolute(file));
  std::map<fs::path, std::vector<const Utterance*>> files;
  for (const fs::path& file : named) files[file];
  for (const Utterance& row : rows)
    if (!row.reference_path.empty()) files[row.reference_path].push_back(&row);
  for (const auto& [file, users] : files) {
    if (!is_recording(file)) continue;
    std::vector<Finding> findings;
    try {
      findings = check_reference(file, sample_rate, policy);
    } catch (const DataError& error) {
      findings = {{"audio_unreadable", GuardAction::kRefuse, error.what()}};
    }
    for (const Finding& finding : findings) {
      if (finding.action == GuardAction::kWarn) {
        log_warning(finding.guard, ": the reference ", file.string(), ": ", finding.message);
      } else if (named.contains(file)) {
        throw DataError(finding.message, "data.reference: " + file.string(),
                        "name a clean recording of 3 to 10 s, or remove data.reference: prep then "
                        "chooses a clip");
      } else {
        for (const Utterance* row : users) refuse(*row, finding);
        break;  // one reason is enough
      }
    }
  }
}

}  // namespace ttsft
