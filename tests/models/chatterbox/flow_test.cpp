#include "models/chatterbox/flow.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "tests/support/model_fixture.h"
#include "tests/support/random_weights.h"
#include "tests/support/temporary_folder.h"
#include "ttsft/core/error.h"
#include "ttsft/io/json_reader.h"

namespace ttsft::chatterbox {
namespace {

using test::expect_close;
using ::testing::AllOf;
using ::testing::HasSubstr;

class FlowTest : public ::testing::Test {
 protected:
  FlowTest() {
    const auto dims = read_json_object(fixture_.path("checkpoint/ttsft_dims.json"));
    heads_ = dims.at("s3gen.decoder.num_heads").get<int64_t>();
    head_dim_ = dims.at("s3gen.decoder.attention_head_dim").get<int64_t>();
    file_ = fixture_.file("checkpoint/s3gen.safetensors");
    flow_ = load_flow(file_, heads_, head_dim_, torch::kCPU);
  }

  FlowRow input(const std::string& name) const {
    const torch::Tensor prompt = fixture_.expected("prep", "ref.gen.prompt_token")[0];
    return {torch::cat({prompt, fixture_.expected("synth", name + ".codes")}).to(torch::kInt64),
            fixture_.expected("prep", "ref.gen.prompt_feat")[0],
            fixture_.expected("prep", "ref.gen.embedding")[0],
            fixture_.expected("synth", name + ".z").to(torch::kFloat32)};
  }

  test::ModelFixture fixture_{"chatterbox"};
  std::shared_ptr<const TensorFile> file_;
  Flow flow_{nullptr};
  int64_t heads_ = 0, head_dim_ = 0;
};

TEST_F(FlowTest, StagesOfTheFirstStepAreUpstreams) {
  const FlowRow row = input("text");
  std::map<std::string, torch::Tensor> stages;
  flow_->forward(std::span(&row, 1), [&](std::string_view stage, const torch::Tensor& result) {
    stages[std::string(stage)] = result.clone();
  });
  expect_close(stages["mu"], fixture_.expected("synth", "text.mu"), 1e-5, "mu");
  expect_close(stages["spks"], fixture_.expected("synth", "text.spks"), 1e-5, "spks");
  expect_close(stages["enc.out"], fixture_.expected("layers", "flow.enc.out"), 2e-5, "enc.out");
  const torch::Tensor time = fixture_.expected("layers", "flow.dec.time_mlp_step0");
  expect_close(stages["dec.time_mlp"].expand_as(time), time, 1e-5, "time_mlp");
  for (const char* stage : {"down_resnet", "down_tfm0", "mid_last", "final_block"}) {
    const std::string name = std::string("dec.") + stage;
    expect_close(stages[name], fixture_.expected("layers", "flow." + name + "_step0"), 5e-5, name);
  }
}

TEST_F(FlowTest, MelIsUpstreams) {
  for (const char* name : {"text", "random_codes"}) {
    const FlowRow row = input(name);
    const torch::Tensor mel = flow_(std::span(&row, 1)).front().unsqueeze(0);
    expect_close(mel, fixture_.expected("synth", std::string(name) + ".mel"), 2e-4, name);
  }
}

TEST_F(FlowTest, RowsOfUnequalLengthComeOutAsAlone) {
  FlowRow shorter_prompt = input("random_codes");
  const int64_t cut = 11;  // codes
  shorter_prompt.codes = shorter_prompt.codes.slice(0, cut);
  shorter_prompt.prompt_feat = shorter_prompt.prompt_feat.slice(0, 2 * cut);
  shorter_prompt.z = shorter_prompt.z.slice(-1, 2 * cut);
  const std::vector<FlowRow> rows{input("random_codes"), input("text"), shorter_prompt};
  const std::vector<torch::Tensor> mels = flow_->forward(rows);
  for (size_t i = 0; i < rows.size(); ++i) {
    expect_close(mels[i], flow_->forward(std::span(&rows[i], 1)).front(), 1e-5,
                 "row " + std::to_string(i));
  }
  EXPECT_TRUE(flow_->forward(std::span<const FlowRow>{}).empty());
}

TEST_F(FlowTest, RefusesWrongInput) {
  const FlowRow good = input("text");
  const auto refused = [&](const FlowRow& row) {
    return message_of<DataError>([&] { flow_->forward(std::span(&row, 1)); });
  };
  FlowRow row = good;
  row.codes = good.codes.clone();
  row.codes[3] = 6561;
  EXPECT_THAT(refused(row), AllOf(HasSubstr("to 6561"), HasSubstr("codes 0 to 6560")));
  row = good;
  row.z = good.z.slice(-1, 1);
  EXPECT_THAT(refused(row), HasSubstr("z has the shape [1, 80, 133] instead of [1, 80, 134]"));
  row = good;
  row.embedding = good.embedding.slice(0, 2);
  EXPECT_THAT(refused(row), HasSubstr("embedding has the shape [190] instead of [192]"));
  row = good;
  row.prompt_feat = torch::zeros({135, 80});
  EXPECT_THAT(refused(row), HasSubstr("prompt_feat has the shape [135, 80]"));
  row = good;
  row.codes = good.codes.slice(0, 0, 0);
  EXPECT_THAT(refused(row), HasSubstr("codes has the shape [0]"));
}

// A training step: noise and mel mixed at a time of each row, the velocity between them wanted.
TEST_F(FlowTest, ALossReachesEveryWeight) {
  const std::vector<FlowRow> rows{input("text"), input("random_codes")};
  for (torch::Tensor& weight : flow_->parameters()) {
    weight.set_data(weight.clone());  // not the mapped file
    weight.requires_grad_(true);
  }
  const auto loss = [&] {
    const FlowConditions given = flow_->conditions(rows);
    const torch::Tensor noise = test::random(given.mu.sizes(), 1);
    const torch::Tensor mel = test::random(given.mu.sizes(), 2);
    const torch::Tensor times = torch::tensor({0.2F, 0.7F}), t = times.view({2, 1, 1});
    const torch::Tensor velocity = flow_->network().velocity(
        (1 - t) * noise + t * mel, flow_->network().embed_times(times), given);
    return ((velocity - (mel - noise)).square() * given.real.unsqueeze(1)).mean();
  };
  const torch::Tensor before = loss();
  before.backward();
  double slope = 0;
  for (const auto& item : flow_->named_parameters()) {
    const torch::Tensor gradient = item.value().grad();
    ASSERT_TRUE(gradient.defined()) << item.key();
    EXPECT_TRUE(gradient.isfinite().all().item<bool>()) << item.key();
    slope += gradient.square().sum().item<double>();
  }
  const torch::NoGradGuard no_grad;
  const double step = 1e-3 / std::sqrt(slope);
  for (torch::Tensor& weight : flow_->parameters()) weight.sub_(weight.grad() * step);
  const double fall = before.item<double>() - loss().item<double>();
  EXPECT_NEAR(fall, step * slope, 0.05 * step * slope) << "what the gradient promises";
}

TEST_F(FlowTest, HeadsMustFit) {
  const std::string message =
      message_of<DataError>([&] { load_flow(file_, heads_ + 1, head_dim_, torch::kCPU); });
  EXPECT_THAT(message, AllOf(HasSubstr("a width of 16, which is not 3 heads of 8"),
                             HasSubstr("s3gen.safetensors")));
}

}  // namespace
}  // namespace ttsft::chatterbox
