#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "support/temporary_folder.h"
#include "ttsft/core/error.h"
#include "ttsft/data/prepared_set.h"

namespace ttsft {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<SplitClip> numbered(int n, const std::string& prefix = "utterance-",
                                const std::string& speaker = "") {
  std::vector<SplitClip> clips;
  for (int i = 0; i < n; ++i) clips.push_back({prefix + std::to_string(i), speaker, ""});
  return clips;
}

std::set<std::string> chosen_of(const std::vector<SplitClip>& clips, double share) {
  const auto ids = validation_ids(clips, share);
  return {ids.begin(), ids.end()};
}

TEST(Split, TakesExactlyTheShareInManifestOrder) {
  const auto clips = numbered(4000);
  const auto chosen = validation_ids(clips, 0.1);
  EXPECT_EQ(chosen.size(), 400u);
  auto next = clips.begin();
  for (const std::string& id : chosen) {
    next = std::find_if(next, clips.end(), [&](const SplitClip& clip) { return clip.id == id; });
    ASSERT_NE(next, clips.end()) << id;
  }
  EXPECT_EQ(validation_ids(numbered(30), 0.02).size(), 2u);  // of ten clips at least two
}

TEST(Split, MostIdsStayOnTheirSideWhenOthersComeAndGo) {
  const auto few = chosen_of(numbered(500), 0.1), many = chosen_of(numbered(1000), 0.1);
  const auto stayed = std::count_if(few.begin(), few.end(),
                                    [&](const std::string& id) { return many.contains(id); });
  EXPECT_GE(stayed, 40);
  auto reversed = numbered(500);
  std::reverse(reversed.begin(), reversed.end());
  EXPECT_EQ(few, chosen_of(reversed, 0.1));
  auto without = numbered(500);
  std::erase_if(without, [&](const SplitClip& clip) { return clip.id == *few.begin(); });
  auto left = few;
  left.erase(left.begin());
  const auto again = chosen_of(without, 0.1);
  EXPECT_TRUE(std::includes(again.begin(), again.end(), left.begin(), left.end()));
}

TEST(Split, IsFairToEachSpeaker) {
  std::vector<SplitClip> clips;
  for (const auto& [speaker, count] :
       std::map<std::string, int>{{"anna", 30}, {"boris", 60}, {"clara", 12}, {"dan", 3}})
    for (SplitClip& clip : numbered(count, speaker + "_", speaker)) clips.push_back(clip);
  std::map<std::string, int> held;
  for (const std::string& id : validation_ids(clips, 0.1)) ++held[id.substr(0, id.find('_'))];
  EXPECT_EQ(held, (std::map<std::string, int>{{"anna", 3}, {"boris", 6}, {"clara", 2}}));
}

TEST(Split, ATakeIsTheIdWithoutTheNumberOfItsSegment) {
  EXPECT_EQ(take_of("chapter_017_003"), "chapter_017");
  EXPECT_EQ(take_of("LJ001-0042"), "LJ001");
  EXPECT_EQ(take_of("ch1/0001"), "ch1");
  for (const char* alone : {"anna_001", "0001", "x", "", "_1", "common_voice_en_17", "a1b"})
    EXPECT_EQ(take_of(alone), alone);
}

TEST(Split, NeighboursOfATakeStandOnOneSide) {
  std::vector<SplitClip> clips;
  for (int chapter = 0; chapter < 20; ++chapter)
    for (SplitClip& clip : numbered(10, "chapter_" + std::to_string(100 + chapter) + "_"))
      clips.push_back(clip);
  const auto chosen = chosen_of(clips, 0.1);
  EXPECT_EQ(chosen.size(), 20u);
  std::map<std::string, int> takes;
  for (const std::string& id : chosen) ++takes[take_of(id)];
  ASSERT_EQ(takes.size(), 2u);
  for (const auto& [take, count] : takes) EXPECT_EQ(count, 10) << take;
  // What a row says of its recording counts more than its name.
  for (size_t i = 0; i < clips.size(); ++i) clips[i].recording = i % 2 ? "odd" : "even";
  const auto first = chosen_of(clips, 0.25);
  EXPECT_EQ(first.size(), 50u);
}

TEST(Split, OfATakeThatIsTooLongTheFirstClips) {
  const auto chosen = validation_ids(numbered(100, "tape_1_"), 0.05);
  EXPECT_THAT(chosen, ElementsAre("tape_1_0", "tape_1_1", "tape_1_2", "tape_1_3", "tape_1_4"));
}

TEST(Split, LeavesNeitherSideEmpty) {
  for (int n = 2; n < 12; ++n) {
    for (const double share : {1e-9, 0.02, 0.5, 0.999999}) {
      const auto chosen = validation_ids(numbered(n), share);
      EXPECT_GE(chosen.size(), 1u) << n << " " << share;
      EXPECT_LT(chosen.size(), static_cast<size_t>(n)) << n << " " << share;
    }
  }
}

TEST(Split, NoneOfNothing) {
  EXPECT_TRUE(validation_ids(numbered(100), 0.0).empty());
  EXPECT_TRUE(validation_ids(numbered(1), 0.99).empty());
  EXPECT_TRUE(validation_ids(numbered(0), 0.5).empty());
}

TEST(Split, RefusesShareOutsideItsRange) {
  for (const double share : {-0.1, 1.0, 2.0, std::numeric_limits<double>::quiet_NaN()}) {
    EXPECT_THAT(message_of<UsageError>([&] { validation_ids(numbered(3), share); }),
                HasSubstr("data.validation"));
  }
}

TEST(Split, TakesTheListedIds) {
  const TemporaryFolder folder;
  const std::vector<std::string> ids = {"a", "b", "c"};
  const auto file = folder.write("val.txt", "\xEF\xBB\xBF c \r\n\na\nc\n");
  EXPECT_THAT(validation_ids(ids, file), ElementsAre("a", "c"));
}

TEST(Split, RefusesAListThatNamesNobody) {
  const TemporaryFolder folder;
  const std::vector<std::string> ids = {"austen-0870", "austen-0880"};
  EXPECT_THAT(
      message_of<DataError>(
          [&] { validation_ids(ids, folder.write("val.txt", "austen-0880\nausten-087\n")); }),
      AllOf(HasSubstr("'austen-087'"), HasSubstr("val.txt line 2"), HasSubstr("'austen-0870'")));
  EXPECT_THAT(message_of<DataError>([&] { validation_ids(ids, folder.write("val.txt", "\n")); }),
              HasSubstr("val.txt"));
  EXPECT_THROW(validation_ids(ids, folder / "absent.txt"), DataError);
}

}  // namespace
}  // namespace ttsft
