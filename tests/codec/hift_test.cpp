#include "ttsft/codec/hift.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <numbers>

#include "tests/support/model_fixture.h"
#include "tests/support/random_weights.h"
#include "tests/support/temporary_folder.h"
#include "ttsft/core/error.h"

namespace ttsft {
namespace {

using test::expect_close;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int64_t kFade = 960;  // samples at the start that upstream's recordings have faded in

class HiftTest : public ::testing::Test {
 protected:
  HiftTest()
      : file_(fixture_.file("checkpoint/s3gen.safetensors")),
        hift_(load_hift(file_, "mel2wav.", torch::kCPU)) {}

  torch::Tensor expected(const std::string& name) const {
    return fixture_.expected("synth", name).to(torch::kFloat32);
  }
  HiftNoise noise(const std::string& name) const {
    return {expected(name + ".phase"), expected(name + ".source_noise")};
  }

  c10::InferenceMode inference_mode_;
  test::ModelFixture fixture_{"chatterbox"};
  std::shared_ptr<const TensorFile> file_;
  Hift hift_{nullptr};
};

TEST_F(HiftTest, FrequencyAndSourceAreUpstreams) {
  for (const std::string name : {"text", "random_codes"}) {
    const torch::Tensor f0 = expected(name + ".f0");
    expect_close(hift_->f0(expected(name + ".mel")), f0, 1e-3, name);
    expect_close(hift_->source(f0, noise(name)), expected(name + ".source"), 2e-4, name);
  }
}

TEST_F(HiftTest, StagesAreUpstreams) {
  std::map<std::string, torch::Tensor> stages;
  hift_->decode(expected("text.mel"), expected("text.source"), Rows(),
                [&](std::string_view stage, const torch::Tensor& result) {
                  stages[std::string(stage)] = result;
                });
  for (const char* stage :
       {"conv_pre", "ups0", "source_downs0", "source_resblocks0", "resblocks0"}) {
    expect_close(stages[stage], fixture_.expected("layers", std::string("hift.") + stage), 1e-4,
                 stage);
  }
  expect_close(stages["conv_post"].narrow(-1, 0, 300),
               fixture_.expected("layers", "hift.conv_post_first300"), 1e-4, "conv_post");
}

TEST_F(HiftTest, WaveOfAStoredMelIsUpstreams) {
  for (const std::string name : {"text", "random_codes"}) {
    const torch::Tensor mel = expected(name + ".mel"), given = expected(name + ".wav");
    const torch::Tensor wave = hift_(mel, noise(name))[0];
    ASSERT_EQ(wave.size(0), mel.size(2) * 480);
    const torch::Tensor error = (wave - given).slice(0, kFade);
    const double relative =
        (error.square().mean() / given.slice(0, kFade).square().mean()).sqrt().item<double>();
    EXPECT_LE(relative, 2e-3) << name;
    EXPECT_LE(error.abs().max().item<double>(), 5e-3) << name;
  }
}

TEST_F(HiftTest, RowsOfABatchAreIndependent) {
  const torch::Tensor mel = expected("text.mel");
  const HiftNoise one = noise("text");
  const torch::Tensor wave = hift_(
      torch::cat({mel * 0.5, mel}),
      HiftNoise{torch::cat({one.phase + 1, one.phase}), torch::cat({one.noise * 2, one.noise})});
  expect_close(wave[1], hift_(mel, one)[0], 2e-3);
}

TEST_F(HiftTest, RowsOfUnequalLengthEqualTheRowsAlone) {
  const torch::Tensor mel = expected("text.mel")[0];
  const HiftNoise one = noise("text");
  const int64_t frames = mel.size(1);
  const RowLengths lengths = {frames, frames - 1, 5, 1};
  torch::Tensor batch = torch::stack({mel, mel.roll(3, 1), mel.roll(7, 1), mel.roll(11, 1)});
  zero_beyond_(batch, lengths);
  const HiftNoise all{one.phase.expand({4, -1, -1}), one.noise.expand({4, -1, -1})};
  const Rows rows(lengths, frames, torch::kCPU);
  const torch::Tensor f0 = hift_->f0(batch, rows);
  for (int64_t b = 0; b < 4; ++b) {
    const int64_t n = lengths[static_cast<size_t>(b)];
    expect_close(f0[b].narrow(0, 0, n), hift_->f0(batch.narrow(0, b, 1).narrow(2, 0, n))[0], 1e-4,
                 "Hz of row " + std::to_string(b));
  }
  // The wave in float64, from one source: in float32 a batch sums in another order, and the
  // exponential of the spectrum makes 1e-5 of that; nothing of a neighbour must be left.
  const torch::Tensor source = hift_->source(f0, all).to(torch::kFloat64);
  hift_->to(torch::kFloat64);
  batch = batch.to(torch::kFloat64);
  const torch::Tensor waves = hift_->decode(batch, source, rows);
  for (int64_t b = 0; b < 4; ++b) {
    const int64_t n = lengths[static_cast<size_t>(b)];
    const torch::Tensor alone = hift_->decode(batch.narrow(0, b, 1).narrow(2, 0, n),
                                              source.narrow(0, b, 1).narrow(2, 0, n * 480));
    expect_close(waves[b].narrow(0, 0, n * 480), alone[0], 1e-9, "row " + std::to_string(b));
  }
}

// Both spellings of weight norm, and weights folded beforehand.
TEST_F(HiftTest, AcceptsEverySpellingOfWeights) {
  const TemporaryFolder folder;
  const torch::Tensor mel = expected("random_codes.mel");
  const torch::Tensor wave = hift_(mel, noise("random_codes"));
  std::vector<std::pair<std::string, torch::Tensor>> renamed, folded;
  for (const TensorView& view : file_->tensors()) {
    if (!view.name.starts_with("mel2wav.")) continue;
    std::string name = view.name;
    for (const auto& [from, to] : {std::pair{".parametrizations.weight.original0", ".weight_g"},
                                   std::pair{".parametrizations.weight.original1", ".weight_v"}}) {
      if (name.ends_with(from)) name = name.substr(0, name.rfind(from)) + to;
    }
    renamed.emplace_back(name, copy_tensor(view));
  }
  for (const auto& item : hift_->named_parameters()) {
    folded.emplace_back("voc." + item.key(), item.value());
  }
  save_tensors(folder / "renamed.safetensors", renamed);
  save_tensors(folder / "folded.safetensors", folded);
  const auto open = [&](const char* name) {
    return std::make_shared<SafetensorsReader>(SafetensorsReader::open(folder / name));
  };
  Hift from_renamed = load_hift(open("renamed.safetensors"), "mel2wav.", torch::kCPU);
  Hift from_folded = load_hift(open("folded.safetensors"), "voc.", torch::kCPU);
  expect_close(from_renamed(mel, noise("random_codes")), wave, 0);
  expect_close(from_folded(mel, noise("random_codes")), wave, 0);
}

TEST_F(HiftTest, SizesComeFromShapes) {
  const HiftOptions& o = hift_->options();
  EXPECT_THAT(o.up_kernels, ElementsAre(16, 11, 7));
  EXPECT_THAT(o.block_kernels, ElementsAre(3, 7, 11));
  EXPECT_THAT(o.source_block_kernels, ElementsAre(7, 7, 11));
  EXPECT_EQ(o.harmonics, 9);
  EXPECT_EQ(o.f0_layers, 5);
  EXPECT_EQ(o.samples_per_frame(), 480);
}

TEST_F(HiftTest, RefusesAnotherNetwork) {
  const TemporaryFolder folder;
  std::vector<std::pair<std::string, torch::Tensor>> tensors;
  for (const auto& item : hift_->named_parameters()) {
    if (!item.key().starts_with("ups.2.")) tensors.emplace_back(item.key(), item.value());
  }
  save_tensors(folder / "two.safetensors", tensors);
  const auto file =
      std::make_shared<SafetensorsReader>(SafetensorsReader::open(folder / "two.safetensors"));
  EXPECT_THAT(message_of<DataError>([&] { load_hift(file, "", torch::kCPU); }),
              AllOf(HasSubstr("2 upsamplings instead of 3"), HasSubstr("two.safetensors")));
}

// A minute of one tone: the phase at the end is that of the definition, in double.
TEST(Hift, PhasesDoNotDrift) {
  HiftOptions o;
  o.mels = 4;
  o.channels = 8;
  o.pre_kernel = o.post_kernel = o.f0_kernel = 3;
  o.up_kernels = {16, 11, 7};
  o.block_kernels = {3};
  o.source_block_kernels = {3, 3, 3};
  o.f0_channels = 4;
  o.f0_layers = 1;
  o.harmonics = 3;
  Hift hift(o);
  test::randomize(*hift);
  c10::InferenceMode inference_mode;
  const int64_t frames = 60 * 50, samples = frames * 480;
  const float f0 = 217.3f;
  const torch::Tensor phase = torch::tensor({0.7, -1.1, 2.0}).view({1, 3, 1});
  const torch::Tensor wave =
      hift->source(torch::full({1, frames}, f0), {phase, torch::zeros({1, 3, samples})})[0][0];
  const auto weights = hift->named_parameters();
  for (int64_t n = samples - 1000; n < samples; n += 37) {
    double sum = weights["m_source.l_linear.bias"].item<double>();
    for (int64_t h = 0; h < 3; ++h) {
      const double cycles = double(n + 1) * double(f0 * float(h + 1) / 24000.f);
      const double shift = h == 0 ? 0 : phase[0][h][0].item<double>();
      sum += weights["m_source.l_linear.weight"][0][h].item<double>() * 0.1 *
             std::sin(2 * std::numbers::pi * (cycles - std::floor(cycles)) + shift);
    }
    ASSERT_NEAR(wave[n].item<double>(), std::tanh(sum), 1e-5) << n;
  }
}

// Unvoiced frames are noise of a third of the sines' amplitude, voiced ones carry little of it.
TEST_F(HiftTest, NoiseFollowsTheVoice) {
  const torch::Tensor f0 = torch::tensor({0.f, 9.9f, 10.1f}).unsqueeze(0);
  const torch::Tensor phase = torch::zeros({1, 9, 1}), loud = torch::ones({1, 9, 3 * 480});
  const torch::Tensor bias = copy_tensor(file_->at("mel2wav.m_source.l_linear.bias"));
  const torch::Tensor weight = copy_tensor(file_->at("mel2wav.m_source.l_linear.weight"));
  const torch::Tensor with = torch::atanh(hift_->source(f0, {phase, loud}))[0][0];
  const torch::Tensor without = torch::atanh(hift_->source(f0, {phase, loud * 0}))[0][0];
  const torch::Tensor added = (with - without).unflatten(0, {3, 480});
  const double sum = weight.sum().item<double>();
  expect_close(added[0], torch::full({480}, sum * 0.1 / 3), 1e-5, "0 Hz");
  expect_close(added[1], torch::full({480}, sum * 0.1 / 3), 1e-5, "9.9 Hz");
  expect_close(added[2], torch::full({480}, sum * 0.003), 1e-5, "10.1 Hz");
  expect_close(without.narrow(0, 0, 960), bias.expand({960}), 1e-5, "no sines below 10 Hz");
}

}  // namespace
}  // namespace ttsft
