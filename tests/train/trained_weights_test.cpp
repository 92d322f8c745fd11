#include "src/train/trained_weights.h"

#include <gtest/gtest.h>

#include "support/temporary_folder.h"
#include "support/tensor_test.h"
#include "ttsft/core/error.h"
#include "ttsft/nn/weights.h"

namespace ttsft {
namespace {

void backward_of(const torch::Tensor& loss, TrainedWeights& weights) {
  loss.backward();
  weights.collect();
}

TEST(TrainedWeights, MastersKeepUpdatesThatBf16WouldLose) {
  torch::Tensor w = torch::ones({4}, torch::kBFloat16);
  TrainedWeights weights;
  weights.add("w", w);
  AdamW optimizer(weights.masters(), {0.9, 0.999, 1e-8, 0.0});
  torch::Tensor rounded = torch::ones({4}, torch::kBFloat16);  // what pure bf16 would do
  for (int step = 0; step < 100; ++step) {
    weights.begin_step();
    backward_of((w.to(torch::kFloat32) * 2).sum(), weights);
    optimizer.step(weights.gradients(), 1e-3);
    weights.publish();
    rounded -= 1e-3;
  }
  EXPECT_EQ(rounded[0].item<float>(), 1.0F);
  EXPECT_NEAR(weights.masters()[0].second[0].item<float>(), 0.9F, 1e-3);
  EXPECT_NEAR(w[0].item<float>(), 0.9F, 4e-3);
  EXPECT_EQ(w.scalar_type(), torch::kBFloat16);
}

TEST(TrainedWeights, GradientsOfBf16AreSummedInFloat32) {
  torch::Tensor w = torch::ones({1}, torch::kBFloat16), idle = torch::ones({1}, torch::kBFloat16);
  TrainedWeights weights;
  weights.add("w", w);
  weights.add("idle", idle);
  weights.begin_step();
  backward_of((w * 256).sum(), weights);
  for (int i = 0; i < 8; ++i) backward_of(w.sum(), weights);  // each alone is lost beside 256
  EXPECT_EQ(weights.gradients()[0].item<float>(), 264.0F);
  EXPECT_FALSE(weights.gradients()[1].defined());
  weights.begin_step();
  EXPECT_FALSE(weights.gradients()[0].defined());
  backward_of((w * 2).sum(), weights);
  EXPECT_EQ(weights.gradients()[0].item<float>(), 2.0F);
}

TEST(TrainedWeights, NeverWriteIntoMemoryTheyWereGiven) {
  std::vector<float> file = {1, 2, 3};
  torch::Tensor w = torch::from_blob(file.data(), {3});
  TrainedWeights weights;
  weights.add("w", w);
  AdamW optimizer(weights.masters(), {});
  weights.begin_step();
  backward_of(w.sum(), weights);
  optimizer.step(weights.gradients(), 0.5);
  EXPECT_EQ(file[0], 1.0F);
  EXPECT_NE(w[0].item<float>(), 1.0F);
}

TEST(TrainedWeights, ATensorWithTwoNamesIsTrainedOnce) {
  torch::Tensor w = torch::ones({3});
  TrainedWeights weights;
  weights.add("head", w);
  weights.add("embed", w);
  EXPECT_EQ(weights.count(), 3);
  EXPECT_EQ(weights.masters().size(), 1U);
}

TEST(TrainedWeights, LoadMastersIsStrict) {
  const TemporaryFolder folder;
  torch::Tensor w = torch::zeros({2}, torch::kBFloat16);
  TrainedWeights weights;
  weights.add("w", w);
  save_tensors(folder / "good", {{"w", torch::tensor({1.5F, 2.5F})}});
  save_tensors(folder / "shape", {{"w", torch::ones({3})}});
  save_tensors(folder / "name", {{"x", torch::ones({2})}});
  weights.load_masters(SafetensorsReader::open(folder / "good"));
  EXPECT_EQ(w[1].item<float>(), 2.5F);
  EXPECT_THROW(weights.load_masters(SafetensorsReader::open(folder / "shape")), DataError);
  EXPECT_THROW(weights.load_masters(SafetensorsReader::open(folder / "name")), DataError);
}

}  // namespace
}  // namespace ttsft
