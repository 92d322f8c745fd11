#include "src/train/checks.h"

#include <gmock/gmock.h>

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
    feed = std::make_unique<Feed>(stage, samples, options, 1, torch::kCPU);
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

  std::vector<Probe> all() {
    std::vector<Probe> probes;
    for (const auto& sample : samples) probes.push_back(stage.train_probe(*sample));
    return probes;
  }

  void first_step() {
    check_first_step(stage, samples, *feed, torch::kFloat32, module->parameters(), actions);
  }

  torch::Generator generator = make_generator(torch::kCPU, 3);
  test::ToyModule module;
  std::shared_ptr<test::ToyFaults> faults = std::make_shared<test::ToyFaults>();
  test::ToyStage stage{module, {}, faults};
  Samples samples;
  std::unique_ptr<Feed> feed;
  std::map<std::string, std::string> actions;
};

TEST_F(ChecksTest, ASoundModelPasses) {
  EXPECT_NO_THROW(first_step());
  EXPECT_TRUE(module->is_training());
}

TEST_F(ChecksTest, ATermWithoutTokensIsNamedWithItsClips) {
  faults->no_tokens = true;
  const std::string message = message_of<CheckError>([&] { first_step(); });
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
  EXPECT_EQ(check_frame_offset(all()), OffsetVerdict::kUndecided);
}

TEST_F(ChecksTest, AModelThatKnowsDecidesTheOffset) {
  teach(1);
  EXPECT_EQ(check_frame_offset(all()), OffsetVerdict::kRight);
  faults->shift = 1;
  EXPECT_THROW(check_frame_offset(all()), CheckError);
  faults->shift = -1;
  EXPECT_THROW(check_frame_offset(all()), CheckError);
}

TEST_F(ChecksTest, AFewFramesDecideNothing) {
  teach(2);
  EXPECT_EQ(check_frame_offset({all()[0]}), OffsetVerdict::kUndecided);
  EXPECT_THROW(check_frame_offset(all()), CheckError);
}

// Logits that give the frame's own target, and that of the frame before it, these shares of all
// that there is to know.
Probe known(double right, double early, int64_t frames = 400) {
  constexpr int64_t kVocabulary = 3072;
  const torch::Tensor targets = torch::arange(frames) * 7 % kVocabulary;
  torch::Tensor logits = torch::zeros({frames, kVocabulary});
  for (int64_t i = 0; i < frames; ++i) {
    logits[i][targets[i]] = right;
    if (i > 0) logits[i][targets[i - 1]] = early;
  }
  return {logits, targets};
}

// Trained elsewhere on another voice: the early frame is likelier, and nothing is wrong.
TEST_F(ChecksTest, AModelOfOtherDataIsNotRefused) {
  const Probe probe = known(1.6, 2.2);
  EXPECT_EQ(check_frame_offset({probe, probe}), OffsetVerdict::kUndecided);
  EXPECT_EQ(check_frame_offset({known(9, 0)}), OffsetVerdict::kRight);
  EXPECT_THROW(check_frame_offset({known(0, 9)}), CheckError);
}

TEST_F(ChecksTest, AKeyMovesACheckAndTheMessageNamesIt) {
  teach(1);
  faults->shift = 1;
  const std::string message = message_of<CheckError>([&] { first_step(); });
  EXPECT_NE(message.find("train.checks.frame_offset=warn"), std::string::npos) << message;
  actions = {{"frame_offset", "warn"}};
  EXPECT_NO_THROW(first_step());
  faults->decoding_differs = true;
  EXPECT_THROW(first_step(), CheckError);
  actions["decoding"] = "off";
  EXPECT_NO_THROW(first_step());
}

// A stage that is no language model: a regression with masked frames and no accuracy.
struct FlowStage : Stage {
  struct Net : torch::nn::Module {
    torch::Tensor w = register_parameter("w", torch::full({1}, 0.5));
  };
  struct FlowBatch : Batch {
    torch::Tensor noise;
    void each(const std::function<void(torch::Tensor&)>& visit) override { visit(noise); }
  };
  std::shared_ptr<Net> net = std::make_shared<Net>();
  double sign = 1;
  bool forgets_its_draw = false;

  torch::nn::Module& module() override { return *net; }
  bool trainable(const std::string&) const override { return true; }
  std::unique_ptr<Sample> read(const PreparedRow&) override { return nullptr; }
  std::unique_ptr<Sample> random_sample(uint64_t) override { return nullptr; }
  std::unique_ptr<Batch> collate(std::span<const Sample* const> rows,
                                 const Draw& draw) const override {
    auto batch = std::make_unique<FlowBatch>();
    std::vector<torch::Tensor> noise;
    for (const Sample* row : rows) {
      batch->ids.push_back(row->id);
      noise.push_back(forgets_its_draw ? torch::rand({3}) : draw.normal(row->id, "z", {3}));
    }
    batch->noise = torch::stack(noise);
    batch->supervised["flow"] = 2.0 * static_cast<double>(rows.size());  // the last one is masked
    return batch;
  }
  std::vector<LossTerm> loss(const Batch& generic, const LossRequest&) override {
    const torch::Tensor& noise = dynamic_cast<const FlowBatch&>(generic).noise;
    const torch::Tensor mask = torch::tensor({1.f, 1.f, 0.f}).repeat({noise.size(0)});
    // What autograd is told and what is computed differ in sign: a wrong backward.
    const torch::Tensor w = sign * net->w - (sign - 1) * net->w.detach();
    LossTerm term{"flow",
                  1.0,
                  (noise * w - 2).square().flatten() * mask,
                  {},
                  torch::arange(noise.size(0)).repeat_interleave(3)};
    term.share = mask;
    return {term};
  }
  void save_beside_adapter(const std::filesystem::path&) override {}
  void save_full(const std::filesystem::path&,
                 const std::map<std::string, torch::Tensor>&) override {}
};

TEST_F(ChecksTest, AnotherKindOfStageProvesDrawsAndGradient) {
  FlowStage flow;
  SamplerOptions options;
  options.batch_utterances = 3;
  Feed rows(flow, samples, options, 1, torch::kCPU);
  const auto check = [&] {
    check_first_step(flow, samples, rows, torch::kFloat32, flow.net->parameters(), actions);
  };
  EXPECT_NO_THROW(check());
  EXPECT_EQ(flow.net->w.item<float>(), 0.5f) << "the weights are as they were";
  flow.sign = -1;
  EXPECT_THAT(message_of<CheckError>(check), testing::HasSubstr("train.checks.gradient=warn"));
  flow.sign = 1;
  flow.forgets_its_draw = true;
  EXPECT_THAT(message_of<CheckError>(check), testing::HasSubstr("train.checks.draws=warn"));
}

}  // namespace
}  // namespace ttsft
