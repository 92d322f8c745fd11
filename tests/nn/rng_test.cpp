#include "ttsft/nn/rng.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/support/tensor_test.h"

namespace ttsft {
namespace {

TEST(DeriveSeed, SameOnEveryMachineAndInEveryRelease) {
  EXPECT_EQ(derive_seed(0, ""), 14087677454934409008ULL);
  EXPECT_EQ(derive_seed(1, "lora_init"), 17523438740550208202ULL);
  EXPECT_EQ(derive_seed(~0ULL, "segment 3"), 749926362024636119ULL);
}

TEST(DeriveSeed, DiffersByNameAndSeed) {
  std::set<uint64_t> seeds;
  std::set<uint32_t> low;  // all that the CPU's Mersenne Twister reads
  for (uint64_t seed = 0; seed < 100; ++seed) {
    for (const std::string name :
         {"", "a", "b", "ab", "ba", "lora_init", "segment 1", "segment 11"}) {
      seeds.insert(derive_seed(seed, name));
      low.insert(static_cast<uint32_t>(derive_seed(seed, name)));
    }
  }
  EXPECT_EQ(seeds.size(), 800u);
  EXPECT_EQ(low.size(), 800u);
}

torch::Tensor draw(uint64_t seed, int64_t count = 5) {
  torch::Generator generator = make_generator(torch::kCPU, seed);
  return torch::empty({count}).normal_(0, 1, generator);
}

TEST(MakeGenerator, EqualSeedsGiveEqualStreams) {
  EXPECT_TRUE(torch::equal(draw(7), draw(7)));
  EXPECT_FALSE(torch::equal(draw(7), draw(8)));
}

TEST(MakeGenerator, StandsApartFromTorchsOwn) {
  const torch::Tensor wanted = draw(7);
  torch::manual_seed(1);
  const torch::Tensor next = torch::rand({3});
  torch::manual_seed(1);
  torch::randn({1});  // leaves half of a pair of normal numbers behind
  EXPECT_TRUE(torch::equal(draw(7), wanted));
  torch::manual_seed(1);
  EXPECT_TRUE(torch::equal(draw(7), wanted));
  EXPECT_TRUE(torch::equal(torch::rand({3}), next));
}

TEST(MakeGenerator, TwoGeneratorsDoNotShareTheirState) {
  torch::Generator first = make_generator(torch::kCPU, 7), second = make_generator(torch::kCPU, 7);
  const torch::Tensor a = torch::empty({4}).normal_(0, 1, first);
  EXPECT_TRUE(torch::equal(torch::empty({4}).normal_(0, 1, second), a));
  EXPECT_FALSE(torch::equal(torch::empty({4}).normal_(0, 1, first), a));
}

}  // namespace
}  // namespace ttsft
