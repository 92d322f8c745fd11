#include "ttsft/judge/voice_encoder.h"

#include <gtest/gtest.h>

#include "tests/support/model_fixture.h"
#include "tests/support/relative_test.h"
#include "ttsft/core/error.h"

namespace ttsft::chatterbox {
namespace {

using ttsft::test::expect_close;
using ttsft::test::expect_near;

const ttsft::test::ModelFixture kFixture("chatterbox");

std::shared_ptr<const TensorFile> weights() {
  return kFixture.file("checkpoint/ve.safetensors");
}

VoiceEncoder load() {
  return load_voice_encoder(weights(), torch::kCPU);
}

torch::Tensor wave(const std::string& clip) {
  return torch::tensor(kFixture.audio(clip).samples);
}

torch::Tensor joined_clips() {
  return torch::cat({wave("a"), wave("b"), wave("c")});
}

torch::Tensor golden(const std::string& name) {
  return kFixture.expected("prep", name);
}

TEST(VoiceEncoder, MelAndWindowsAreUpstreams) {
  VoiceEncoder encoder = load();
  const torch::Tensor mel = encoder->mel(wave("a"));
  expect_near(mel, golden("a.ve_mel"), 1e-4, "mel");
  expect_near(encoder(VoiceEncoderImpl::windows(mel)), golden("a.ve_partial_embeds"), 1e-4,
              "vectors of windows");
  EXPECT_EQ(VoiceEncoderImpl::windows(encoder->mel(joined_clips())).size(0),
            golden("concat.ve_n_windows").item<int32_t>());
}

// All clips at once, as prep runs them.
TEST(VoiceEncoder, VectorsAreUpstreams) {
  const std::vector<torch::Tensor> vectors = load()->embed(
      {wave("a"), joined_clips(), wave("b"), wave("c"), golden("ref.wav16k_soxr_hq")});
  const std::vector<std::string> names = {"a", "concat", "b", "c", "ref.t3"};
  ASSERT_EQ(vectors.size(), names.size());
  for (size_t i = 0; i < names.size(); ++i) {
    expect_close(vectors[i], golden(names[i] + ".speaker_emb").flatten(), 1e-4, names[i]);
  }
}

TEST(VoiceEncoder, EachClipOfABatchEqualsTheClipAlone) {
  VoiceEncoder encoder = load();
  const torch::Tensor speech = joined_clips();
  std::vector<torch::Tensor> waves;
  for (const int64_t length : {6000, 26000, 26001, 40000}) {
    waves.push_back(speech.narrow(0, 1000, length));
  }
  const std::vector<torch::Tensor> together = encoder->embed(waves);
  for (size_t i = 0; i < waves.size(); ++i) {
    expect_close(together[i], encoder->embed({waves[i]}).front(), 1e-5, std::to_string(i));
  }
}

// 160 frames every 77, a further window as soon as 128 of its frames are there.
TEST(VoiceEncoder, CountsWindows) {
  for (const auto& [frames, count] : {std::pair<int64_t, int64_t>{1, 1},
                                      {83, 1},
                                      {84, 1},
                                      {127, 1},
                                      {128, 1},
                                      {160, 1},
                                      {204, 1},
                                      {205, 2},
                                      {237, 2},
                                      {281, 2},
                                      {282, 3},
                                      {1000, 12}}) {
    EXPECT_EQ(voice_windows(frames), count) << frames;
    const torch::Tensor mel = torch::arange(frames).to(torch::kFloat32).add_(1).view({-1, 1});
    const torch::Tensor windows = VoiceEncoderImpl::windows(mel);
    ASSERT_EQ(windows.sizes().vec(), (std::vector<int64_t>{count, 160, 1})) << frames;
    const int64_t last = 77 * (count - 1) + 159;
    EXPECT_EQ(windows[count - 1][159].item<float>(), last < frames ? last + 1 : 0) << frames;
    EXPECT_EQ(windows[count - 1][0].item<float>(), 77 * (count - 1) + 1) << frames;
  }
}

TEST(VoiceEncoder, SilenceAtTheEndsIsCutOff) {
  VoiceEncoder encoder = load();
  const torch::Tensor sound = wave("c"), silence = torch::zeros({512 * 40});
  const torch::Tensor plain = encoder->mel(sound);
  const torch::Tensor wrapped = encoder->mel(torch::cat({silence, sound, silence}));
  EXPECT_LE(std::abs(plain.size(0) - wrapped.size(0)), 16);
}

TEST(VoiceEncoder, WrongUse) {
  VoiceEncoder encoder = load();
  EXPECT_TRUE(encoder->embed({}).empty());
  EXPECT_THROW(encoder->embed({torch::zeros({100})}), DataError);
  EXPECT_THROW(encoder->embed({torch::zeros({0})}), DataError);
  EXPECT_THROW(encoder->embed({torch::zeros({1, 16000})}), std::logic_error);
  EXPECT_THROW(load_voice_encoder(kFixture.file("checkpoint/t3_cfg.safetensors"), torch::kCPU),
               DataError);
}

TEST(VoiceEncoder, LoadingIsStrict) {
  for (const std::string name : {"lstm.bias_hh_l1", "proj.bias", "lstm.weight_ih_l1"}) {
    auto file = std::make_shared<DerivedTensors>(weights());
    for (const TensorView& view : weights()->tensors()) {
      if (view.name != name) file->keep(view);
    }
    file->finish();
    EXPECT_THROW(load_voice_encoder(file, torch::kCPU), DataError) << name;
  }
}

TEST(VoiceEncoder, ReleaseShapes) {
  const VoiceEncoder encoder{VoiceEncoderOptions()};
  const auto parameters = encoder->named_parameters();
  const auto shape = [&](const std::string& name) { return parameters[name].sizes().vec(); };
  EXPECT_EQ(parameters.size(), 14u);
  EXPECT_EQ(shape("lstm.weight_ih_l0"), (Shape{1024, 40}));
  EXPECT_EQ(shape("lstm.weight_ih_l2"), (Shape{1024, 256}));
  EXPECT_EQ(shape("lstm.bias_hh_l2"), (Shape{1024}));
  EXPECT_EQ(shape("proj.weight"), (Shape{256, 256}));
}

}  // namespace
}  // namespace ttsft::chatterbox
