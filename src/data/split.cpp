#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>
#include <set>
#include <string_view>

#include "import.h"
#include "ttsft/core/error.h"
#include "ttsft/core/hash.h"
#include "ttsft/core/strings.h"
#include "ttsft/data/prepared_set.h"

namespace ttsft {

namespace {

constexpr size_t kEnoughForTwo = 10, kEnoughForOne = 4;  // clips of a speaker

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// Clips of one take in the order in which they were spoken.
struct Take {
  double hash = 0;
  std::vector<std::string> ids;
};

// By the number at the end, else by the letters.
bool spoken_before(const std::string& a, const std::string& b) {
  const auto number = [](const std::string& id) {
    size_t begin = id.size();
    while (begin > 0 && is_digit(id[begin - 1])) --begin;
    return id.substr(std::min(id.find_first_not_of('0', begin), id.size()));
  };
  const std::string one = number(a), other = number(b);
  if (one.size() != other.size()) return one.size() < other.size();
  return one != other ? one < other : a < b;
}

// How many of a speaker's clips validate.
size_t quota(size_t clips, double share) {
  if (clips < 2) return 0;
  auto wanted = static_cast<size_t>(std::llround(share * static_cast<double>(clips)));
  if (clips >= kEnoughForTwo) wanted = std::max<size_t>(wanted, 2);
  if (clips >= kEnoughForOne) wanted = std::max<size_t>(wanted, 1);
  return std::min(wanted, clips - 1);
}

// Whole takes by rising hash while they fit, then the first clips of the next one: neighbours of
// one take stay on one side, but for a single seam.
void choose(std::vector<Take> takes, size_t wanted, std::set<std::string>& chosen) {
  std::sort(takes.begin(), takes.end(), [](const Take& a, const Take& b) {
    return a.hash != b.hash ? a.hash < b.hash : a.ids < b.ids;
  });
  const Take* rest = nullptr;
  for (Take& take : takes) {
    if (take.ids.size() > wanted) {
      if (!rest) rest = &take;
      continue;
    }
    chosen.insert(take.ids.begin(), take.ids.end());
    wanted -= take.ids.size();
  }
  if (rest)
    chosen.insert(rest->ids.begin(), rest->ids.begin() + static_cast<std::ptrdiff_t>(wanted));
}

}  // namespace

std::string take_of(const std::string& id) {
  size_t end = id.size();
  while (end > 0 && is_digit(id[end - 1])) --end;
  if (end == id.size() || end < 2 ||
      std::string_view("_-./ ").find(id[end - 1]) == std::string::npos)
    return id;
  return is_digit(id[end - 2]) ? id.substr(0, end - 1) : id;
}

std::vector<std::string> validation_ids(const std::vector<SplitClip>& clips, double share) {
  if (!(share >= 0 && share < 1)) {
    throw UsageError("data.validation is " + std::to_string(share), {}, "give a share in [0, 1)");
  }
  if (share == 0 || clips.size() < 2) return {};
  std::map<std::string, std::map<std::string, Take>> speakers;
  for (const SplitClip& clip : clips) {
    const std::string name = clip.recording.empty() ? take_of(clip.id) : clip.recording;
    Take& take = speakers[clip.speaker][name];
    take.hash = hash_fraction(name);
    take.ids.push_back(clip.id);
  }
  std::set<std::string> chosen;
  for (auto& [speaker, takes] : speakers) {
    size_t count = 0;
    std::vector<Take> list;
    for (auto& [name, take] : takes) {
      std::sort(take.ids.begin(), take.ids.end(), spoken_before);
      count += take.ids.size();
      list.push_back(std::move(take));
    }
    choose(std::move(list), quota(count, share), chosen);
  }
  if (chosen.empty()) {  // a few clips of many speakers
    chosen.insert(std::min_element(clips.begin(), clips.end(), [](const auto& a, const auto& b) {
                    return hash_fraction(a.id) < hash_fraction(b.id);
                  })->id);
  }
  std::vector<std::string> ordered;
  for (const SplitClip& clip : clips)
    if (chosen.contains(clip.id)) ordered.push_back(clip.id);
  return ordered;
}

std::vector<std::string> validation_ids(const std::vector<std::string>& ids,
                                        const std::filesystem::path& list) {
  const std::set<std::string> known(ids.begin(), ids.end());
  std::set<std::string> listed;
  for (const SourceLine& line : read_lines(list)) {
    if (!line.bad.empty()) throw DataError(line.bad, place(list, line.number));
    const std::string id = trim(line.text);
    if (known.count(id) == 0) {
      const std::string near = nearest(id, ids);
      throw DataError("no utterance is called '" + id + "'", place(list, line.number),
                      near.empty() ? "remove it from data.validation" : "is '" + near + "' meant?");
    }
    listed.insert(id);
  }
  if (listed.empty()) {
    throw DataError("data.validation lists no utterance", list.string(), "0 stands for none");
  }
  std::vector<std::string> chosen;
  std::copy_if(ids.begin(), ids.end(), std::back_inserter(chosen),
               [&](const std::string& id) { return listed.count(id) > 0; });
  return chosen;
}

}  // namespace ttsft
