#include "ttsft/data/clip_list.h"

#include <gtest/gtest.h>

#include <set>

namespace ttsft {
namespace {

TEST(ClipList, OthersStepOverTheOwnClipAndThoseTaken) {
  const ClipList<std::string> clips = {"a", "b", "c", "d"};
  const auto fixed = [](std::vector<uint64_t> draws) {
    return [draws](int64_t i) { return draws[static_cast<size_t>(i)]; };
  };
  // What is left beside "b" is a, c, d; then beside b and c: a, d.
  EXPECT_EQ(clips.others("b", 1, fixed({1})), std::vector<size_t>{2});
  EXPECT_EQ(clips.others("b", 1, fixed({3})), std::vector<size_t>{0}) << "modulo what is left";
  EXPECT_EQ(clips.others("b", 2, fixed({1, 1})), (std::vector<size_t>{2, 3}));
  EXPECT_EQ(clips.others("b", 9, fixed({0, 0, 0})), (std::vector<size_t>{0, 2, 3}));
  EXPECT_EQ(clips.others("stranger", 1, fixed({3})), std::vector<size_t>{3});
  EXPECT_TRUE(ClipList<std::string>{"b"}.others("b", 1, fixed({0})).empty());
}

// The numbers that sets prepared earlier were trained with: the draw modulo the list without the
// own clip.
TEST(ClipList, DrawsWhatAListWithoutTheClipWouldGive) {
  const ClipList<std::string> clips = {"a", "b", "c", "d", "e"};
  for (uint64_t draw = 0; draw < 40; ++draw) {
    for (const std::string& own : clips) {
      std::vector<std::string> others;
      for (const std::string& id : clips)
        if (id != own) others.push_back(id);
      const auto chosen = clips.others(own, 1, [draw](int64_t) { return draw; });
      ASSERT_EQ(chosen.size(), 1u);
      EXPECT_EQ(clips[chosen[0]], others[draw % others.size()]);
    }
  }
}

// Counts what a choice looks at.
struct CountedClip {
  std::string id;
  static inline int64_t looks = 0, copies = 0;
  explicit CountedClip(std::string name) : id(std::move(name)) {}
  CountedClip(const CountedClip& other) : id(other.id) { ++copies; }
  CountedClip(CountedClip&&) noexcept = default;
};
const std::string& clip_id(const CountedClip& clip) {
  ++CountedClip::looks;
  return clip.id;
}

TEST(ClipList, TwentyThousandClipsAreLookedAtOnce) {
  constexpr int64_t kClips = 20000;
  ClipList<CountedClip> clips;
  for (int64_t i = 0; i < kClips; ++i) clips.add(CountedClip(std::to_string(i)));
  std::set<size_t> seen;
  for (int64_t i = 0; i < kClips; ++i) {
    const auto chosen = clips.others(std::to_string(i), 2, [i](int64_t which) {
      return static_cast<uint64_t>(i * 7919 + which);
    });
    ASSERT_EQ(chosen.size(), 2u);
    EXPECT_NE(chosen[0], static_cast<size_t>(i));
    EXPECT_NE(chosen[1], static_cast<size_t>(i));
    seen.insert(chosen.begin(), chosen.end());
  }
  EXPECT_EQ(CountedClip::looks, kClips) << "once each, when the list was made";
  EXPECT_EQ(CountedClip::copies, 0);
  EXPECT_GT(seen.size(), 19000u);
}

}  // namespace
}  // namespace ttsft
