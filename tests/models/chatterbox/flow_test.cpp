#include "models/chatterbox/flow.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "tests/support/model_fixture.h"
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
    flow_ = std::make_unique<Flow>(file_, heads_, head_dim_, torch::kCPU);
  }

  FlowInput input(const std::string& name) const {
    const torch::Tensor prompt = fixture_.expected("prep", "ref.gen.prompt_token")[0];
    return {torch::cat({prompt, fixture_.expected("synth", name + ".codes")}).to(torch::kInt64),
            fixture_.expected("prep", "ref.gen.prompt_feat")[0],
            fixture_.expected("prep", "ref.gen.embedding")[0],
            fixture_.expected("synth", name + ".z").to(torch::kFloat32)};
  }

  test::ModelFixture fixture_{"chatterbox"};
  std::shared_ptr<const TensorFile> file_;
  std::unique_ptr<Flow> flow_;
  int64_t heads_ = 0, head_dim_ = 0;
};

TEST_F(FlowTest, StagesOfTheFirstStepAreUpstreams) {
  const FlowInput row = input("text");
  std::map<std::string, torch::Tensor> stages;
  flow_->inference(std::span(&row, 1), [&](std::string_view stage, const torch::Tensor& result) {
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
    const FlowInput row = input(name);
    const torch::Tensor mel = flow_->inference(row.codes, row.prompt_feat, row.embedding, row.z);
    expect_close(mel, fixture_.expected("synth", std::string(name) + ".mel"), 2e-4, name);
  }
}

TEST_F(FlowTest, RowsOfUnequalLengthComeOutAsAlone) {
  FlowInput shorter_prompt = input("random_codes");
  const int64_t cut = 11;  // codes
  shorter_prompt.codes = shorter_prompt.codes.slice(0, cut);
  shorter_prompt.prompt_feat = shorter_prompt.prompt_feat.slice(0, 2 * cut);
  shorter_prompt.z = shorter_prompt.z.slice(-1, 2 * cut);
  const std::vector<FlowInput> rows{input("random_codes"), input("text"), shorter_prompt};
  const std::vector<torch::Tensor> mels = flow_->inference(rows);
  for (size_t i = 0; i < rows.size(); ++i) {
    expect_close(mels[i], flow_->inference(std::span(&rows[i], 1)).front(), 1e-5,
                 "row " + std::to_string(i));
  }
  EXPECT_TRUE(flow_->inference(std::span<const FlowInput>{}).empty());
}

TEST_F(FlowTest, RefusesWrongInput) {
  const FlowInput good = input("text");
  const auto refused = [&](const FlowInput& row) {
    return message_of<DataError>([&] { flow_->inference(std::span(&row, 1)); });
  };
  FlowInput row = good;
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

TEST_F(FlowTest, HeadsMustFit) {
  const std::string message =
      message_of<DataError>([&] { Flow(file_, heads_ + 1, head_dim_, torch::kCPU); });
  EXPECT_THAT(message, AllOf(HasSubstr("a width of 16, which is not 3 heads of 8"),
                             HasSubstr("s3gen.safetensors")));
}

}  // namespace
}  // namespace ttsft::chatterbox
