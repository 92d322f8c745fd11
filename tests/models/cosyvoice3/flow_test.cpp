// Codes to mel against upstream, stage by stage.
#include "models/cosyvoice3/flow.h"

#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

#include "tests/models/cosyvoice3/cosyvoice3_fixture.h"
#include "ttsft/io/torch_file.h"

namespace ttsft::cosyvoice3::test {
namespace {

class FlowTest : public testing::Test {
 protected:
  Flow flow_ = load_flow(open_tensor_file(fixture().path("checkpoint/flow.pt")), 0.0, torch::kCPU);
};

// What upstream's zero-shot synthesis gave the flow.
FlowRow zero_shot() {
  const auto& spoken = expected_json("synth")["zero_shot"];
  const auto prompt = spoken["prompt_tokens"].get<std::vector<int64_t>>();
  const auto codes = spoken["flow_tokens"].get<std::vector<int64_t>>();
  FlowRow row;
  row.codes = torch::cat({torch::tensor(prompt), torch::tensor(codes)});
  row.prompt_feat = expected("synth", "zero_shot.prompt_feat");
  row.embedding = expected("synth", "zero_shot.embedding");
  row.z = expected("synth", "noise.flow_rand_noise").narrow(1, 0, 2 * row.codes.size(0));
  return row;
}

TEST_F(FlowTest, EveryStageIsUpstreams) {
  const torch::InferenceMode inference;
  std::map<std::string, torch::Tensor> seen;
  const FlowRow row = zero_shot();
  const torch::Tensor mel =
      flow_->forward(std::span(&row, 1), [&](std::string_view stage, const torch::Tensor& x) {
        seen.try_emplace(std::string(stage), x.clone());
      })[0];
  const auto stage = [&](const std::string& name) {
    return expected("synth", "zero_shot.flow." + name);
  };
  expect_close(seen.at("prelookahead")[0], stage("prelookahead"), 1e-5, "prelookahead");
  expect_close(seen.at("spks")[0], stage("spk"), 1e-5, "speaker");
  expect_close(seen.at("time_embed")[0], stage("time_embed"), 1e-4, "time");
  for (const char* name : {"input_embed", "attn0", "block0"}) {
    const torch::Tensor wanted = stage(name);  // its first frames
    expect_close(seen.at(name)[0].narrow(0, 0, wanted.size(0)), wanted, 1e-4, name);
  }
  expect_close(seen.at("velocity")[0], stage("est_out.0.cond"), 1e-4, "first velocity");
  expect_close(seen.at("velocity")[1].narrow(1, 0, 20), stage("est_out.0.uncond_first20"), 1e-4,
               "without the condition");
  expect_close(mel, expected("synth", "zero_shot.mel"), 2e-4, "mel");
}

TEST_F(FlowTest, TheLastCodesMayBeHeardOnly) {
  const torch::InferenceMode inference;
  EXPECT_EQ(flow_->codes_ahead(), 3);
  FlowRow row = zero_shot();
  row.z = row.z.narrow(1, 0, row.z.size(1) - 6);
  const torch::Tensor mel = flow_->forward(std::span(&row, 1), {}, {.ahead = 3})[0];
  expect_close(mel, expected("synth", "zero_shot.mel_not_final"), 2e-4);
}

TEST_F(FlowTest, RowsOfABatchAreAsAlone) {
  const torch::InferenceMode inference;
  const FlowRow whole = zero_shot();
  FlowRow shorter = whole;
  shorter.codes = whole.codes.narrow(0, 0, 61);
  shorter.z = whole.z.narrow(1, 3, 122);
  const std::vector<FlowRow> rows = {shorter, whole};
  const auto together = flow_->forward(rows);
  for (size_t i = 0; i < rows.size(); ++i)
    expect_close(together[i], flow_->forward(std::span(&rows[i], 1))[0], 1e-4, std::to_string(i));
}

}  // namespace
}  // namespace ttsft::cosyvoice3::test
