// The clips of one speaker in manifest order, and others than a given one drawn without looking at
// them all: a stage asks once for every clip, and a speaker may have 100,000.
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace ttsft {

inline const std::string& clip_id(const std::string& id) {
  return id;
}

// Clip: anything that clip_id() gives the id of. Ids differ; of equal ones the first counts.
template <typename Clip>
class ClipList {
 public:
  ClipList() = default;
  ClipList(std::initializer_list<Clip> clips) : ClipList(clips.begin(), clips.end()) {}
  template <typename Iterator>
  ClipList(Iterator first, Iterator last) {
    for (; first != last; ++first) add(*first);
  }

  void add(Clip clip) {
    places_.emplace(clip_id(clip), clips_.size());
    clips_.push_back(std::move(clip));
  }
  size_t size() const { return clips_.size(); }
  const Clip& operator[](size_t place) const { return clips_[place]; }
  auto begin() const { return clips_.begin(); }
  auto end() const { return clips_.end(); }

  // Places of up to `count` different clips, none of them `id`. The i-th is number draw(i) modulo
  // how many are left, counted over those not taken yet.
  template <typename Draw>
  std::vector<size_t> others(const std::string& id, int64_t count, const Draw& draw) const {
    std::vector<size_t> taken, chosen;  // taken: ascending
    if (const auto own = places_.find(id); own != places_.end()) taken.push_back(own->second);
    for (int64_t i = 0; i < count && taken.size() < clips_.size(); ++i) {
      size_t place = draw(i) % (clips_.size() - taken.size());
      for (const size_t earlier : taken) place += earlier <= place;  // steps over it
      chosen.push_back(place);
      taken.insert(std::upper_bound(taken.begin(), taken.end(), place), place);
    }
    return chosen;
  }

 private:
  std::vector<Clip> clips_;
  std::unordered_map<std::string, size_t> places_;
};

}  // namespace ttsft
