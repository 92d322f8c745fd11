#include "speakers.h"

#include <algorithm>
#include <map>

#include "ttsft/core/error.h"
#include "ttsft/text/fold.h"

namespace ttsft {
namespace {

void set_aside(FoundClip& clip, const char* problem, std::string message) {
  clip.problem = problem;
  clip.message = std::move(message);
}

// Voices that the table has, by name.
std::vector<VoiceGroup> listed_voices(const std::vector<SpokenClip>& clips) {
  std::map<std::string, std::pair<std::vector<VoiceVector>, std::vector<double>>> by_name;
  for (const SpokenClip& spoken : clips) {
    if (spoken.listed_as.empty() || spoken.clip->voice.empty()) continue;
    by_name[spoken.listed_as].first.push_back(spoken.clip->voice);
    by_name[spoken.listed_as].second.push_back(spoken.clip->seconds());
  }
  std::vector<VoiceGroup> voices;
  for (const auto& [name, of] : by_name)
    voices.push_back({name, mean_voice(of.first, of.second), {}, 0});
  return voices;
}

// A name that is not taken: "speaker1", "speaker2", ...
std::string next_name(const std::vector<VoiceGroup>& groups) {
  for (int i = 1;; ++i) {
    const std::string name = "speaker" + std::to_string(i);
    if (std::none_of(groups.begin(), groups.end(),
                     [&](const VoiceGroup& group) { return group.name == name; }))
      return name;
  }
}

// Names the groups that are kept; the others stay without.
void choose_groups(std::vector<VoiceGroup>& groups, const std::string& name,
                   const std::optional<VoiceVector>& wanted, double same, int most) {
  auto kept = std::count_if(groups.begin(), groups.end(),
                            [](const VoiceGroup& group) { return !group.name.empty(); });
  if (wanted && kept == 0) {
    const auto best = std::max_element(
        groups.begin(), groups.end(), [&](const VoiceGroup& a, const VoiceGroup& b) {
          return likeness(a.centre, *wanted) < likeness(b.centre, *wanted);
        });
    if (best == groups.end() || likeness(best->centre, *wanted) < same)
      throw DataError("the voice of --voice is not heard in the recordings", "",
                      "give a clip of a speaker who is");
    std::rotate(groups.begin(), best, best + 1);
  }
  for (VoiceGroup& group : groups) {
    if (kept >= most) break;
    if (!group.name.empty()) continue;
    group.name = kept == 0 && !name.empty() ? name : next_name(groups);
    ++kept;
  }
}

void name_by_voice(std::vector<SpokenClip>& clips, const std::string& name, const VoiceScale& scale,
                   const CurateOptions& options) {
  std::vector<VoiceClip> voices;
  for (const SpokenClip& spoken : clips)
    voices.push_back({spoken.clip->voice, spoken.clip->seconds()});
  std::vector<VoiceGroup> groups = group_voices(voices, listed_voices(clips), scale.same);
  choose_groups(groups, name, scale.wanted, scale.same, options.speakers);
  std::vector<bool> heard(clips.size(), false);
  for (const VoiceGroup& group : groups) {
    for (const size_t i : group.clips) {
      heard[i] = true;
      FoundClip& clip = *clips[i].clip;
      if (!clips[i].listed_as.empty()) continue;
      if (group.name.empty()) {
        set_aside(clip, "stranger", "another voice than that of the speaker");
        continue;
      }
      clip.speaker = group.name;
      for (const VoiceVector& voice : clip.unlike)
        if (likeness(voice, group.centre) < scale.same && clip.problem.empty())
          set_aside(clip, "overlap", "another voice is heard in it too");
    }
  }
  for (size_t i = 0; i < clips.size(); ++i)
    if (!heard[i] && clips[i].listed_as.empty())
      set_aside(*clips[i].clip, "stranger", "too little is heard to tell whose voice it is");
}

}  // namespace

void name_speakers(std::vector<SpokenClip>& clips, const std::string& name,
                   const std::optional<VoiceScale>& scale, const CurateOptions& options) {
  const std::string wanted = fold_name(name);
  const bool names_it = std::any_of(clips.begin(), clips.end(), [&](const SpokenClip& spoken) {
    return !name.empty() && fold_name(spoken.clip->speaker) == wanted;
  });
  std::vector<SpokenClip> unnamed;
  for (SpokenClip& spoken : clips) {
    FoundClip& clip = *spoken.clip;
    if (clip.speaker.empty() || !spoken.listed_as.empty()) {
      unnamed.push_back(spoken);
    } else if (names_it) {
      if (fold_name(clip.speaker) != wanted)
        set_aside(clip, "stranger", "the transcript names " + clip.speaker + " as its speaker");
      else
        clip.speaker = name;
    }
  }
  const bool any_new = std::any_of(unnamed.begin(), unnamed.end(), [](const SpokenClip& spoken) {
    return spoken.listed_as.empty();
  });
  if (!any_new) return;
  if (scale) return name_by_voice(unnamed, name, *scale, options);
  for (SpokenClip& spoken : unnamed)
    if (spoken.listed_as.empty()) spoken.clip->speaker = name.empty() ? "speaker1" : name;
}

}  // namespace ttsft
