#include "models/qwen3_tts/speaker_encoder.h"

#include <gtest/gtest.h>

#include "tests/models/qwen3_tts/fixture.h"
#include "ttsft/core/error.h"

namespace ttsft::qwen3_tts {
namespace {

using namespace ttsft::qwen3_tts::test;  // NOLINT: test helpers

SpeakerEncoder load() {
  return load_speaker_encoder(model_weights(), fixture_config(), torch::kCPU);
}

torch::Tensor mel_of(const std::string& clip) {
  return MelExtractor(speaker_mel_options(fixture_config().speaker_encoder))(fixture_wave(clip));
}

// The clip holds nothing above 8 kHz: there the spectrum is the rounding noise of a float FFT,
// which differs between processors (upstream's own values are 1e-3 from the exact ones). So the
// comparison allows the noise, 2e-8, before the logarithm, and 1e-4 behind it.
TEST(SpeakerEncoder, MelIsUpstreams) {
  const torch::Tensor expected = expected_tensor("prep", "mel.ref");
  const torch::Tensor mel = mel_of("ref");
  expect_close(mel, expected, 2e-3, "mel.ref");
  const torch::Tensor error = (mel.exp() - expected.exp()).abs() - expected.exp() * 1e-4;
  EXPECT_LE(error.max().item<double>(), 2e-8);
  const torch::Tensor audible = expected.gt(-9.0);  // above the noise by a factor of ten
  ASSERT_GT(audible.sum().item<int64_t>(), 10000);
  expect_close(mel.masked_select(audible), expected.masked_select(audible), 1e-4, "audible");
}

TEST(SpeakerEncoder, VectorsAreUpstreams) {
  SpeakerEncoder encoder = load();
  for (const std::string clip : {"a", "b", "c", "ref"}) {
    expect_close(encoder(mel_of(clip).unsqueeze(0))[0],
                 expected_tensor("prep", "speaker_embedding." + clip), 1e-4, clip);
  }
}

TEST(SpeakerEncoder, StagesAreUpstreams) {
  SpeakerEncoder encoder = load();
  std::map<std::string, torch::Tensor> seen;
  encoder->set_probe([&](std::string_view stage, const torch::Tensor& x) {
    seen[std::string(stage)] = x.clone();
  });
  const torch::Tensor vector = encoder(mel_of("ref").unsqueeze(0));
  for (const std::string stage : {"block0", "block1", "block3", "mfa"}) {
    ASSERT_TRUE(seen.count(stage)) << stage;
    expect_close(seen[stage].narrow(-1, 0, 24), expected_tensor("layers", "spk." + stage), 1e-4,
                 stage);
  }
  expect_close(seen["asp"], expected_tensor("layers", "spk.asp"), 1e-4, "asp");
  expect_close(vector, expected_tensor("layers", "spk.embedding"), 1e-4, "embedding");
}

TEST(SpeakerEncoder, RowsOfABatchAreIndependent) {
  SpeakerEncoder encoder = load();
  const torch::Tensor x = mel_of("a").narrow(0, 0, 60), y = mel_of("b").narrow(0, 0, 60);
  const torch::Tensor both = encoder(torch::stack({x, y}));
  expect_close(both[0], encoder(x.unsqueeze(0))[0], 1e-5, "row 0");
  expect_close(both[1], encoder(y.unsqueeze(0))[0], 1e-5, "row 1");
}

TEST(SpeakerEncoder, ShortestClip) {
  SpeakerEncoder encoder = load();
  EXPECT_EQ(encoder->min_frames(), 5);  // kernel 3, dilation 4: reflects 4 frames
  const torch::Tensor mel = mel_of("a").unsqueeze(0);
  EXPECT_TRUE(encoder(mel.narrow(1, 0, 5)).isfinite().all().item<bool>());
  EXPECT_THROW(encoder(mel.narrow(1, 0, 4)), DataError);
}

TEST(SpeakerEncoder, WrongUse) {
  SpeakerEncoder encoder = load();
  EXPECT_THROW(encoder(torch::zeros({1, 20, 80})), std::logic_error);
  // The codec's file, as one that holds no speaker encoder.
  EXPECT_THROW(load_speaker_encoder(codec_weights(), fixture_config(), torch::kCPU), DataError);
  Config wide = fixture_config();
  wide.speaker_encoder.enc_dim = 24;
  EXPECT_THROW(load_speaker_encoder(model_weights(), wide, torch::kCPU), DataError);
}

// A fine-tuned checkpoint may have kept it.
TEST(SpeakerEncoder, LoadsWhateverTheVariant) {
  Config custom = fixture_config();
  custom.variant = Variant::kCustomVoice;
  EXPECT_NO_THROW(load_speaker_encoder(model_weights(), custom, torch::kCPU));
}

// The released dimensions, which the files leave to defaults, give the released shapes.
TEST(SpeakerEncoder, ReleaseShapes) {
  SpeakerEncoderConfig config;
  config.enc_dim = 2048;
  SpeakerEncoder encoder(config);
  const auto shapes = encoder->named_parameters();
  const auto shape = [&](const std::string& name) { return shapes[name].sizes().vec(); };
  using Shape = std::vector<int64_t>;
  EXPECT_EQ(shapes.size(), 76u);
  EXPECT_EQ(shape("blocks.0.conv.weight"), (Shape{512, 128, 5}));
  EXPECT_EQ(shape("blocks.3.tdnn2.conv.weight"), (Shape{512, 512, 1}));
  EXPECT_EQ(shape("blocks.1.res2net_block.blocks.6.conv.weight"), (Shape{64, 64, 3}));
  EXPECT_EQ(shape("blocks.2.se_block.conv1.weight"), (Shape{128, 512, 1}));
  EXPECT_EQ(shape("mfa.conv.weight"), (Shape{1536, 1536, 1}));
  EXPECT_EQ(shape("asp.tdnn.conv.weight"), (Shape{128, 4608, 1}));
  EXPECT_EQ(shape("asp.conv.weight"), (Shape{1536, 128, 1}));
  EXPECT_EQ(shape("fc.weight"), (Shape{2048, 3072, 1}));
}

}  // namespace
}  // namespace ttsft::qwen3_tts
