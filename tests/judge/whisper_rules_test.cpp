#include "ttsft/judge/whisper_rules.h"

#include <gtest/gtest.h>

namespace ttsft {
namespace {

// A vocabulary of 4 text tokens, the end token 4, another special one, and
// timestamps 6 to 11.
constexpr int64_t kEnd = 4, kFirst = 6, kSize = 12;

// Ids that may follow a row, where all text is likelier than the timestamps or,
// at `stamps`, not.
std::vector<int64_t> allowed(std::vector<int64_t> said, bool stamps = false) {
  const auto count = std::ssize(said);
  said.resize(8, kEnd);
  torch::Tensor scores = torch::zeros({1, kSize});
  scores.narrow(1, kFirst, kSize - kFirst).fill_(stamps ? -1.0 : -9.0);
  const TokenHistory history{
      .seen = {},
      .tokens = torch::tensor(said, torch::kInt64).unsqueeze(0),
      .count = torch::tensor({count}, torch::kInt64)};
  const torch::Tensor result =
      timestamp_rule(kFirst, kEnd)->apply(scores, history);
  std::vector<int64_t> ids;
  for (int64_t id = 0; id < kSize; ++id)
    if (result[0][id].item<float>() > -1e9)
      ids.push_back(id);
  return ids;
}

using Ids = std::vector<int64_t>;

TEST(TimestampRule, BehindTheFirstOneComesText) {
  EXPECT_EQ(allowed({7}), (Ids{0, 1, 2, 3, 4, 5}));
}

TEST(TimestampRule, AnEndIsFollowedByAStartOrTheEnd) {
  EXPECT_EQ(allowed({7, 2, 9}), (Ids{4, 5, 9, 10, 11}));
}

TEST(TimestampRule, AfterAPairComesText) {
  EXPECT_EQ(allowed({7, 2, 9, 9}), (Ids{0, 1, 2, 3, 4, 5}));
}

TEST(TimestampRule, NoneGoesBackNorEndsWhereItBegan) {
  EXPECT_EQ(allowed({7, 2}), (Ids{0, 1, 2, 3, 4, 5, 8, 9, 10, 11}));
  EXPECT_EQ(allowed({7, 2, 9, 9, 1}), (Ids{0, 1, 2, 3, 4, 5, 10, 11}));
}

// Each is less likely than each text token, all of them together are not.
TEST(TimestampRule, TogetherTheyMayBeLikelierThanAllText) {
  EXPECT_EQ(allowed({7, 2}, true), (Ids{8, 9, 10, 11}));
  EXPECT_EQ(allowed({7, 2, 9, 9, 1}, true),
            (Ids{0, 1, 2, 3, 4, 5, 10, 11})); // only two are left
}

} // namespace
} // namespace ttsft
