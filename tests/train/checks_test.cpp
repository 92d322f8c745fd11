#include "src/train/checks.h"

#include <limits>

#include "train_support.h"
#include "ttsft/core/error.h"

namespace ttsft {
namespace {

struct ChecksTest : ::testing::Test {
  ChecksTest() {
    torch::NoGradGuard no_grad;
    for (const auto& item : module->named_parameters()) item.value().uniform_(-0.1, 0.1, generator);
    for (int64_t start = 0; start < 3; ++start) {
      auto sample = std::make_unique<test::ToySample>();
      sample->id = "clip" + std::to_string(start);
      for (int64_t t = 0; t < 14; ++t) sample->ids.push_back((start + t) % test::kToyVocabulary);
      sample->length = 14;
      samples.push_back(std::move(sample));
    }
    SamplerOptions options;
    options.batch_utterances = 3;
    feed = std::make_unique<Feed>(stage, samples, options, 1);
  }

  // Makes the model predict that each token is followed by itself + distance.
  void teach(int64_t distance) {
    torch::NoGradGuard no_grad;
    for (const auto& item : module->named_parameters()) item.value().zero_();
    // x = 8 numbers that tell 11 tokens apart; the head recognises the direction.
    const torch::Tensor codes =
        torch::randn({test::kToyVocabulary, test::kToyWidth}, generator) * 2;
    module->embed->weight.copy_(codes);
    const torch::Tensor h = torch::tanh(codes);
    const torch::Tensor unit = h / h.norm(2, {1}, true);
    module->head->weight.copy_(unit.roll(distance, 0) * 6);
  }

  std::vector<const Sample*> all() const {
    std::vector<const Sample*> pointers;
    for (const auto& sample : samples) pointers.push_back(sample.get());
    return pointers;
  }

  torch::Generator generator = make_generator(torch::kCPU, 3);
  test::ToyModule module;
  std::shared_ptr<test::ToyFaults> faults = std::make_shared<test::ToyFaults>();
  test::ToyStage stage{module, {}, torch::kCPU, faults};
  Samples samples;
  std::unique_ptr<Feed> feed;
};

TEST_F(ChecksTest, ASoundModelPasses) {
  EXPECT_NO_THROW(check_first_step(stage, samples, *feed, torch::kFloat32));
  EXPECT_TRUE(module->is_training());
}

TEST_F(ChecksTest, ATermWithoutTokensIsNamedWithItsClips) {
  faults->no_tokens = true;
  const std::string message =
      message_of<CheckError>([&] { check_first_step(stage, samples, *feed, torch::kFloat32); });
  EXPECT_NE(message.find("loss term sub has no supervised token"), std::string::npos) << message;
  EXPECT_NE(message.find("clip0"), std::string::npos) << message;
}

TEST_F(ChecksTest, LossesThatAreNoneStopTheRun) {
  for (const double scale :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(), 0.0}) {
    faults->scale = scale;
    EXPECT_THROW(check_terms(stage, feed->next()), CheckError) << scale;
  }
}

TEST_F(ChecksTest, DecodingMustGiveTheSameLogits) {
  EXPECT_NO_THROW(check_decoding(stage, *samples[0], 1e-3));
  faults->decoding_differs = true;
  EXPECT_THROW(check_decoding(stage, *samples[0], 1e-3), CheckError);
}

TEST_F(ChecksTest, AnIgnorantModelLeavesTheOffsetUndecided) {
  EXPECT_EQ(check_frame_offset(stage, all()), OffsetVerdict::kUndecided);
}

TEST_F(ChecksTest, AModelThatKnowsDecidesTheOffset) {
  teach(1);
  EXPECT_EQ(check_frame_offset(stage, all()), OffsetVerdict::kRight);
  faults->shift = 1;
  EXPECT_THROW(check_frame_offset(stage, all()), CheckError);
  faults->shift = -1;
  EXPECT_THROW(check_frame_offset(stage, all()), CheckError);
}

TEST_F(ChecksTest, AFewFramesDecideNothing) {
  teach(2);
  EXPECT_EQ(check_frame_offset(stage, {samples[0].get()}), OffsetVerdict::kUndecided);
  EXPECT_THROW(check_frame_offset(stage, all()), CheckError);
}

}  // namespace
}  // namespace ttsft
