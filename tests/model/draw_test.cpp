#include "ttsft/model/draw.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/temporary_folder.h"
#include "support/tensor_test.h"
#include "ttsft/core/error.h"
#include "ttsft/nn/weights.h"

namespace ttsft {
namespace {

using testing::HasSubstr;

TEST(Draw, EvaluationHangsOnTheIdAlone) {
  const Draw one{.seed = 1}, two{.seed = 2, .step = 7};
  EXPECT_TRUE(torch::equal(one.normal("a", "z", {4}), two.normal("a", "z", {4})));
  EXPECT_FALSE(torch::equal(one.normal("a", "z", {4}), one.normal("b", "z", {4})));
  EXPECT_FALSE(torch::equal(one.normal("a", "z", {4}), one.normal("a", "t", {4})));
}

TEST(Draw, TrainingHangsOnTheSeedToo) {
  const Draw one{.training = true, .seed = 1}, two{.training = true, .seed = 2};
  EXPECT_TRUE(torch::equal(one.uniform("a", "t", {4}), one.uniform("a", "t", {4})));
  EXPECT_FALSE(torch::equal(one.uniform("a", "t", {4}), two.uniform("a", "t", {4})));
  EXPECT_TRUE(one.happens("a", "keep", 1.0));
  EXPECT_FALSE(one.happens("a", "keep", 0.0));
}

struct Replayed : testing::Test {
  Replayed() {
    save_tensors(folder / "draws.safetensors",
                 {{"a.z", torch::tensor({1.f, 2.f})}, {"2.a.z", torch::tensor({3.f, 4.f})}});
  }
  TemporaryFolder folder;
};

TEST_F(Replayed, TheStepComesFirst) {
  const auto replay = open_replay(folder / "draws.safetensors");
  const auto at = [&](bool training, int64_t step) {
    return Draw{training, 1, replay.get(), step}.normal("a", "z", {2})[0].item<float>();
  };
  EXPECT_EQ(at(true, 1), 1);
  EXPECT_EQ(at(true, 2), 3);
  EXPECT_EQ(at(false, 0), 1);
  EXPECT_EQ(open_replay({}), nullptr);
}

TEST_F(Replayed, WhatIsMissingOrOfAnotherShapeIsNamed) {
  const Replay replay(folder / "draws.safetensors");
  const Draw draw{.training = true, .replay = &replay, .step = 2};
  EXPECT_THAT(message_of<DataError>([&] { draw.normal("b", "z", {2}); }), HasSubstr("b.z"));
  EXPECT_THAT(message_of<DataError>([&] { draw.normal("a", "z", {3}); }),
              HasSubstr("2.a.z has the shape [2], wanted is [3]"));
  save_tensors(folder / "half.safetensors", {{"a.z", torch::ones({2}, torch::kHalf)}});
  EXPECT_THAT(message_of<DataError>([&] { Replay(folder / "half.safetensors"); }),
              HasSubstr("a.z is not float32"));
}

}  // namespace
}  // namespace ttsft
