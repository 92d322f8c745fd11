#include "ttsft/model/fixture_list.h"

#include <gtest/gtest.h>

#include <cmath>

namespace ttsft {
namespace {

using Fill = FixtureList::Fill;

// Names, types, shapes and fills in order; the scale of random ones.
void expect_list(const FixtureList& list, const std::vector<FixtureTensor>& wanted) {
  ASSERT_EQ(list.tensors.size(), wanted.size());
  for (size_t i = 0; i < wanted.size(); ++i) {
    const FixtureTensor &got = list.tensors[i], &want = wanted[i];
    EXPECT_EQ(got.name, want.name) << i;
    EXPECT_EQ(got.dtype, want.dtype) << want.name;
    EXPECT_EQ(got.shape, want.shape) << want.name;
    EXPECT_EQ(got.fill, want.fill) << want.name;
    if (want.fill == Fill::kNormal) EXPECT_DOUBLE_EQ(got.scale, want.scale) << want.name;
  }
}

TEST(FixtureList, TensorsOfTheTypeOfTheFile) {
  FixtureList list(DType::kBF16);
  list.add("plain", {2, 3});
  list.add("count", {4}, Fill::kCount);
  list.add("wide", {5}, Fill::kNormal, 0.5);
  expect_list(list, {{"plain", DType::kBF16, {2, 3}, Fill::kNormal, 0.02},
                     {"count", DType::kBF16, {4}, Fill::kCount},
                     {"wide", DType::kBF16, {5}, Fill::kNormal, 0.5}});
}

TEST(FixtureList, ProductsKeepTheSizeOfTheirInput) {
  FixtureList list(DType::kF32);
  list.weight("linear", {3, 16});
  list.weight("kernel", {4, 5, 7});
  list.weight("vector", {6});  // nothing is summed
  expect_list(list, {{"linear", DType::kF32, {3, 16}, Fill::kNormal, 0.25},
                     {"kernel", DType::kF32, {4, 5, 7}, Fill::kNormal, 1 / std::sqrt(35.0)},
                     {"vector", DType::kF32, {6}, Fill::kNormal, 1}});
}

TEST(FixtureList, LayersInTorchsNames) {
  FixtureList list(DType::kF16);
  list.conv("conv", {3, 4, 1});
  list.norm("norm", 5);
  expect_list(list, {{"conv.weight", DType::kF16, {3, 4, 1}, Fill::kNormal, 0.5},
                     {"conv.bias", DType::kF16, {3}, Fill::kSmall},
                     {"norm.weight", DType::kF16, {5}, Fill::kOne},
                     {"norm.bias", DType::kF16, {5}, Fill::kSmall}});
}

TEST(FixtureList, ABatchNormCountsInWholeNumbers) {
  FixtureList list(DType::kF16);
  list.batch_norm("full", 2);
  list.batch_norm("bare", 3, false);
  expect_list(list, {{"full.weight", DType::kF16, {2}, Fill::kOne},
                     {"full.bias", DType::kF16, {2}, Fill::kSmall},
                     {"full.running_mean", DType::kF16, {2}, Fill::kSmall},
                     {"full.running_var", DType::kF16, {2}, Fill::kOne},
                     {"full.num_batches_tracked", DType::kI64, {}, Fill::kZero},
                     {"bare.running_mean", DType::kF16, {3}, Fill::kSmall},
                     {"bare.running_var", DType::kF16, {3}, Fill::kOne},
                     {"bare.num_batches_tracked", DType::kI64, {}, Fill::kZero}});
}

// A transposed convolution's first axis is its input: the bias has a size of its own.
TEST(FixtureList, WeightNormStoresLengthAndDirection) {
  FixtureList list(DType::kF32);
  list.normed_conv("up", {4, 3, 3}, 3);
  list.normed_conv("last", {2, 4}, 0);
  const std::string length = ".parametrizations.weight.original0",
                    direction = ".parametrizations.weight.original1";
  expect_list(list, {{"up" + length, DType::kF32, {4, 1, 1}, Fill::kOne},
                     {"up" + direction, DType::kF32, {4, 3, 3}, Fill::kNormal, 1.0 / 3},
                     {"up.bias", DType::kF32, {3}, Fill::kSmall},
                     {"last" + length, DType::kF32, {2, 1}, Fill::kOne},
                     {"last" + direction, DType::kF32, {2, 4}, Fill::kNormal, 0.5}});
}

}  // namespace
}  // namespace ttsft
