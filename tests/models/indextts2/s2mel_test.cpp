#include "models/indextts2/s2mel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/models/indextts2/gpt_fixture.h"
#include "tests/support/temporary_folder.h"
#include "ttsft/core/error.h"
#include "ttsft/io/torch_file.h"

namespace ttsft::indextts2::test {
namespace {

using testing::HasSubstr;

torch::Tensor synth(const std::string& name) {
  return expected("synth", name);
}

class S2MelTest : public testing::Test {
 protected:
  MelPrompt prompt() {
    const torch::Tensor mel = synth("greedy.ref_mel");
    return {mel, s2mel_.regulate(synth("prompt.S_ref"), mel.size(1)), synth("greedy.style")};
  }
  torch::Tensor mel(const MelPrompt& prompt, const torch::Tensor& condition,
                    const torch::Tensor& noise, const FlowOptions& options) {
    return s2mel_.mels(prompt, {condition}, {noise}, options)[0];
  }
  torch::Tensor constant_of(const torch::Tensor& prompt, const torch::Tensor& condition,
                            const torch::Tensor& style, bool guided) {
    return s2mel_.estimator()->constant(prompt.unsqueeze(0), condition.unsqueeze(0),
                                        style.unsqueeze(0), guided);
  }
  torch::Tensor times(float time) { return torch::tensor({time}); }

  S2Mel s2mel_{fixture_config(), torch::kCPU};
  c10::InferenceMode inference_;
};

TEST_F(S2MelTest, LengthsAreUpstreams) {
  const auto& cases = expected_json("synth")["cases"];
  for (const auto& [name, row] : cases.items())
    EXPECT_EQ(mel_frames(row["code_len"]), row["target_length"].get<int64_t>()) << name;
  EXPECT_EQ(mel_frames(expected_json("synth")["fixed"]["codes"].size()),
            expected_json("synth")["fixed"]["target_length"].get<int64_t>());
  EXPECT_EQ(mel_frames(50), 86) << "cut off, in float32: 50 x 1.72 is 86.00000";
  EXPECT_EQ(mel_frames(25, 2.0), 86);
  EXPECT_EQ(mel_frames(100, 0.5), 86);
}

TEST_F(S2MelTest, LatentsAndLengthRegulatorAreUpstreams) {
  const torch::Tensor from = s2mel_.from_latents(synth("greedy.gpt_latent"));
  expect_close(from, synth("greedy.gpt_layer_out"), 1e-4);
  const torch::Tensor out = synth("greedy.length_regulator_out");
  expect_close(s2mel_.regulate(synth("greedy.length_regulator_in"), out.size(0)), out, 1e-4);
  const torch::Tensor fixed = synth("fixed.length_regulator_out");
  expect_close(s2mel_.regulate(synth("fixed.vq2emb"), fixed.size(0)), fixed, 1e-4,
               "the states are zero");
  const torch::Tensor whole = torch::cat({prompt().condition, out});
  expect_close(whole, synth("greedy.cat_condition"), 1e-4);
}

TEST_F(S2MelTest, FirstStepIsUpstreams) {
  const MelPrompt given = prompt();
  const torch::Tensor condition = synth("greedy.cat_condition"), noise = synth("greedy.noise");
  const int64_t frames = noise.size(1), known = given.mel.size(1);
  const torch::Tensor padded = torch::constant_pad_nd(given.mel, {0, frames - known});
  torch::Tensor x = noise.clone();
  x.narrow(1, 0, known).zero_();
  Dit& dit = s2mel_.estimator();
  const auto schedule = dit->schedule(times(0));
  const Rope rope = dit->rope(frames, torch::kCPU);
  const torch::Tensor velocity = dit->forward(
      x.unsqueeze(0), constant_of(padded, condition, given.style, true), schedule, 0, rope);
  expect_close(velocity[0], synth("greedy.dit_out_step0_cond"), 1e-3);
  expect_close(velocity[1], synth("greedy.dit_out_step0_uncond"), 1e-3);
  const torch::Tensor alone = dit->forward(
      x.unsqueeze(0), constant_of(padded, condition, given.style, false), schedule, 0, rope);
  expect_close(alone[0], velocity[0], 1e-5);
}

TEST_F(S2MelTest, StagesOfACallAreUpstreams) {
  const MelPrompt given = prompt();
  const torch::Tensor target = synth("fixed.length_regulator_out"), noise = synth("fixed.noise");
  const int64_t frames = noise.size(1), known = given.mel.size(1);
  const torch::Tensor padded = torch::constant_pad_nd(given.mel, {0, frames - known});
  Dit& dit = s2mel_.estimator();
  std::map<std::string, torch::Tensor> stages;
  torch::Tensor x = noise.clone();
  x.narrow(1, 0, known).zero_();
  dit->forward(x.unsqueeze(0),
               constant_of(padded, torch::cat({given.condition, target}), given.style, false),
               dit->schedule(times(0.48F)), 0, dit->rope(frames, torch::kCPU), Rows(),
               [&](std::string_view stage, const torch::Tensor& value) {
                 stages[std::string(stage)] = value[0];
               });
  // The first frames of the stages, the last ones of the result.
  for (const auto& [stage, name] : {std::pair{"l0", "dit.t048_l0"},
                                    {"transformer", "dit.t048_tf"},
                                    {"wavenet", "dit.t048_wn"}}) {
    const torch::Tensor want = expected("layers", name);
    expect_close(stages[stage].narrow(0, 0, want.size(0)).narrow(1, 0, want.size(1)), want, 1e-3,
                 stage);
  }
  const torch::Tensor out = expected("layers", "dit.t048_out");
  expect_close(stages["out"].narrow(1, frames - out.size(1), out.size(1)), out, 1e-3);
}

TEST_F(S2MelTest, MelsAreUpstreams) {
  const MelPrompt given = prompt();
  for (const std::string name : {"greedy", "fixed"}) {
    const torch::Tensor want = synth(name + ".mel");
    const torch::Tensor condition = synth(name + ".length_regulator_out");
    const torch::Tensor got = mel(given, condition, synth(name + ".noise"), {});
    const int64_t target = condition.size(0);
    expect_close(got, want.narrow(1, want.size(1) - target, target), 2e-3, name);
  }
}

TEST_F(S2MelTest, WithoutGuidanceOneRowIsEnough) {
  const MelPrompt given = prompt();
  const torch::Tensor condition = synth("fixed.length_regulator_out"), noise = synth("fixed.noise");
  const torch::Tensor none = mel(given, condition, noise, {4, 0.0});
  const torch::Tensor little = mel(given, condition, noise, {4, 1e-6});
  expect_close(none, little, 1e-3);
  EXPECT_GT((mel(given, condition, noise, {4, 0.7}) - none).abs().max().item<double>(), 1e-3);
}

TEST_F(S2MelTest, RowsOfUnequalLengthEqualTheRowsAlone) {
  const MelPrompt given = prompt();
  const torch::Tensor condition = synth("fixed.length_regulator_out"), noise = synth("fixed.noise");
  const int64_t known = given.mel.size(1), frames = condition.size(0);
  std::vector<torch::Tensor> conditions, starts;
  for (const int64_t target : {frames - 3, frames, int64_t{2}}) {
    conditions.push_back(condition.roll(target, 0).narrow(0, 0, target));
    starts.push_back(noise.roll(target, 1).narrow(1, 0, known + target));
  }
  for (const double guidance : {0.7, 0.0}) {
    const FlowOptions options{5, guidance};
    const auto together = s2mel_.mels(given, conditions, starts, options);
    ASSERT_EQ(together.size(), 3u);
    for (size_t i = 0; i < 3; ++i)
      expect_close(together[i], mel(given, conditions[i], starts[i], options), 1e-5,
                   "row " + std::to_string(i));
  }
}

// What a stage that trains the flow needs.
TEST_F(S2MelTest, GradientsFlowThroughTheEstimator) {
  const torch::InferenceMode off(false);
  S2Mel s2mel(fixture_config(), torch::kCPU);
  Dit& dit = s2mel.estimator();
  for (torch::Tensor& parameter : dit->parameters()) parameter.requires_grad_(true);
  const int64_t frames = 30;
  const S2MelConfig& c = fixture_config().s2mel;
  torch::Tensor x = torch::randn({2, c.in_channels, frames}).requires_grad_(true);
  const torch::Tensor constant = dit->constant(torch::zeros({2, c.in_channels, frames}),
                                               torch::randn({2, frames, c.content_dim}),
                                               torch::randn({2, c.style_dim}), false);
  dit->forward(x, constant, dit->schedule(times(0.3F)), 0, dit->rope(frames, torch::kCPU),
               Rows({frames, 20}, frames, torch::kCPU))
      .narrow(2, 0, 20)
      .square()
      .sum()
      .backward();
  EXPECT_GT(x.grad().abs().sum().item<double>(), 0);
  EXPECT_EQ(x.grad()[1].narrow(1, 20, 10).abs().max().item<double>(), 0) << "not of the row";
  // The linear of a skip is in every layer of the file and used in the second half only.
  for (const auto& item : dit->named_parameters())
    EXPECT_TRUE(item.value().grad().defined() ||
                item.key().find("skip_in_linear") != std::string::npos)
        << item.key();
}

TEST(S2MelFile, ModulePrefixesAreTakenOff) {
  // As a parallel trainer saves it, with an optimizer beside the net.
  const auto file = TorchFile::open(fixture_config().s2mel_file);
  TorchValue::Dict net;
  for (const TorchValue::Entry& part : *file->root().find("net")->dict()) {
    TorchValue::Dict renamed;
    for (const TorchValue::Entry& entry : *part.second.dict())
      renamed.push_back({"module." + entry.first, entry.second});
    net.push_back({part.first, {renamed}});
  }
  const torch::Tensor step = torch::ones({1});
  const TemporaryFolder folder;
  write_torch_file(
      folder / "s2mel.pth",
      TorchValue{TorchValue::Dict{{"net", {net}}, {"optimizer", {view_tensor("", step)}}}});
  Config config = fixture_config();
  config.s2mel_file = folder / "s2mel.pth";
  S2Mel renamed(config, torch::kCPU), plain(fixture_config(), torch::kCPU);
  const torch::Tensor latents = synth("greedy.gpt_latent");
  expect_equal(renamed.from_latents(latents), plain.from_latents(latents));
}

TEST(S2MelFile, RefusesWhatDoesNotFit) {
  Config config = fixture_config();
  config.s2mel_file = fixture_config().w2v_stats;
  EXPECT_THAT(message_of<DataError>([&] { S2Mel(config, torch::kCPU); }),
              HasSubstr("no tensors below \"net\""));
  config = fixture_config();
  config.s2mel.depth += 1;
  EXPECT_THAT(message_of<DataError>([&] { S2Mel(config, torch::kCPU); }), HasSubstr("missing"));
  config = fixture_config();
  config.gpt.model_dim += 1;
  EXPECT_THAT(message_of<DataError>([&] { S2Mel(config, torch::kCPU); }),
              HasSubstr("of another shape"));
}

}  // namespace
}  // namespace ttsft::indextts2::test
