#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "support/temporary_folder.h"
#include "ttsft/core/error.h"
#include "ttsft/data/prepared_set.h"

namespace ttsft {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> numbered(int n) {
  std::vector<std::string> ids;
  for (int i = 0; i < n; ++i) ids.push_back("utterance-" + std::to_string(i));
  return ids;
}

TEST(Split, TakesAboutTheShareInManifestOrder) {
  const auto ids = numbered(4000);
  const auto chosen = validation_ids(ids, 0.1);
  EXPECT_NEAR(static_cast<double>(chosen.size()), 400, 60);
  auto next = ids.begin();
  for (const std::string& id : chosen) {
    next = std::find(next, ids.end(), id);
    ASSERT_NE(next, ids.end()) << id;
  }
}

TEST(Split, AnIdStaysOnItsSideWhenOthersComeAndGo) {
  const auto few = validation_ids(numbered(500), 0.1);
  const auto many = validation_ids(numbered(1000), 0.1);
  auto first_500 = many;
  const auto ids = numbered(500);
  const std::set<std::string> known(ids.begin(), ids.end());
  std::erase_if(first_500, [&](const std::string& id) { return known.count(id) == 0; });
  EXPECT_EQ(few, first_500);
  auto reversed = ids;
  std::reverse(reversed.begin(), reversed.end());
  auto again = validation_ids(reversed, 0.1);
  std::reverse(again.begin(), again.end());
  EXPECT_EQ(few, again);
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
