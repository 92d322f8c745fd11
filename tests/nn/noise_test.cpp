#include "ttsft/nn/noise.h"

#include <gtest/gtest.h>

#include "tests/support/tensor_test.h"
#include "ttsft/core/error.h"

namespace ttsft {
namespace {

using test::expect_equal;

NoiseSource source(const std::vector<uint64_t>& seeds, const std::vector<int64_t>& steps,
                   const RecordedDraws* recorded = nullptr) {
  return NoiseSource(seed_words(seeds, torch::kCPU), torch::tensor(steps), recorded);
}

TEST(NoiseSource, ARowDependsOnItsSeedAndStepAlone) {
  const torch::Tensor together = source({1, 2, 3}, {0, 4, 9}).uniform("token", {50});
  EXPECT_EQ(together.sizes(), (torch::IntArrayRef{3, 50}));
  expect_equal(source({2}, {4}).uniform("token", {50})[0], together[1]);
  EXPECT_FALSE(torch::equal(source({2}, {5}).uniform("token", {50})[0], together[1]));
  EXPECT_FALSE(torch::equal(source({7}, {4}).uniform("token", {50})[0], together[1]));
  EXPECT_FALSE(torch::equal(source({2}, {4}).uniform("other", {50})[0], together[1]));
  // A shape is a view of one row of numbers.
  expect_equal(source({2}, {4}).uniform("token", {5, 10}).flatten(1)[0], together[1]);
}

TEST(NoiseSource, IsUniformOverRowsStepsAndPlaces) {
  std::vector<uint64_t> seeds;
  std::vector<int64_t> steps;
  for (int64_t i = 0; i < 200; ++i) {
    seeds.push_back(static_cast<uint64_t>(i / 20));
    steps.push_back(i % 20);
  }
  const torch::Tensor x = source(seeds, steps).uniform("token", {500});
  EXPECT_GT(x.min().item<double>(), 0.0);
  EXPECT_LT(x.max().item<double>(), 1.0);
  // 100,000 draws into 20 bins; 1 in 1000 of truly random ones is above 43.8.
  const torch::Tensor counts = x.flatten().mul(20).to(torch::kInt64).bincount({}, 20);
  EXPECT_LT(((counts - 5000).pow(2).to(torch::kFloat64) / 5000).sum().item<double>(), 43.8);
  // Neighbours in each direction have nothing in common: |r| of 100,000 pairs is below 0.0104 in
  // 999 of 1000.
  const torch::Tensor centred = (x - 0.5) * std::sqrt(12.0);
  const auto correlation = [](const torch::Tensor& a, const torch::Tensor& b) {
    return std::abs((a * b).mean().item<double>());
  };
  EXPECT_LT(correlation(centred.narrow(1, 0, 499), centred.narrow(1, 1, 499)), 0.0104);
  EXPECT_LT(correlation(centred.narrow(0, 0, 199), centred.narrow(0, 1, 199)), 0.0104);
  EXPECT_LT(correlation(centred.narrow(0, 0, 180), centred.narrow(0, 20, 180)), 0.0110);
}

TEST(NoiseSource, NormalHasMeanAndVariance) {
  const torch::Tensor x = source({3, 4}, {0, 1}).normal("x0", {20000});
  EXPECT_TRUE(x.isfinite().all().item<bool>());
  EXPECT_NEAR(x.mean().item<double>(), 0.0, 0.02);
  EXPECT_NEAR(x.var().item<double>(), 1.0, 0.04);
  EXPECT_NEAR((x.abs() < 1).to(torch::kFloat64).mean().item<double>(), 0.6827, 0.01);
}

TEST(NoiseSource, RecordedDrawsComeFirst) {
  const RecordedDraws recorded = {{"x0", torch::arange(12).view({3, 2, 2}).to(torch::kFloat32)}};
  const NoiseSource noise = source({1, 2}, {2, 0}, &recorded);
  expect_equal(noise.normal("x0", {2, 2}), torch::stack({recorded.at("x0")[2], recorded.at("x0")[0]}));
  expect_equal(noise.uniform("token", {4}), source({1, 2}, {2, 0}).uniform("token", {4}));
  EXPECT_THROW(noise.uniform("x0", {4}), DataError);
}

TEST(NoiseSource, NeedsNoValueOnTheHost) {
  const NoiseSource noise(torch::zeros({2, 2}, torch::dtype(torch::kInt64).device(torch::kMeta)),
                          torch::zeros({2}, torch::dtype(torch::kInt64).device(torch::kMeta)));
  EXPECT_EQ(noise.normal("x0", {3, 5}).sizes(), (torch::IntArrayRef{2, 3, 5}));
}

}  // namespace
}  // namespace ttsft
