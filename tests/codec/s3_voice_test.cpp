#include "ttsft/codec/s3_voice.h"

#include <gtest/gtest.h>

#include <numbers>

#include "tests/support/model_fixture.h"
#include "tests/support/random_weights.h"
#include "tests/support/relative_test.h"
#include "ttsft/io/json_reader.h"

namespace ttsft {
namespace {

using test::expect_equal;
using test::expect_near;
using test::random;

const test::ModelFixture kFixture("chatterbox");
constexpr int64_t kTenSeconds = 240000;  // all that Chatterbox hears of a reference

torch::Tensor golden(const std::string& name) {
  return kFixture.expected("prep", "ref." + name);
}

torch::Tensor reference24k() {
  return torch::tensor(kFixture.audio("ref").samples).slice(0, 0, kTenSeconds);
}

TEST(S3Voice, ReferenceIsUpstreams) {
  const auto file = kFixture.file("checkpoint/s3gen.safetensors");
  const auto dims = read_json_object(kFixture.path("checkpoint/ttsft_dims.json"));
  S3Tokenizer tokenizer = load_s3_tokenizer(
      file, "tokenizer.", dims.at("s3tokenizer.n_audio_head").get<int64_t>(), torch::kCPU);
  Campplus speaker = load_campplus(file, "speaker_encoder.", torch::kCPU);
  const MelExtractor mel(s3_flow_mel_options(8000));
  const S3Voice voice = make_s3_voice(tokenizer, speaker, mel, golden("wav16k_sinc_hann"),
                                      reference24k(), S3Alignment::kCutCodes);
  expect_equal(voice.prompt_token, golden("gen.prompt_token")[0].to(torch::kInt64), "codes");
  expect_near(voice.prompt_feat, golden("gen.prompt_feat")[0], 1e-4, "mel");
  expect_near(voice.embedding, golden("gen.embedding")[0], 1e-4, "vector");
}

TEST(S3Voice, CodesAndFramesAreCutToEachOther) {
  const auto aligned = [](int64_t codes, int64_t frames, S3Alignment alignment) {
    S3Voice voice{torch::arange(codes), random({frames, 4}, 1), torch::zeros({2})};
    const S3Voice whole = voice;
    align_s3_voice(voice, alignment);
    expect_equal(voice.prompt_token, whole.prompt_token.slice(0, 0, voice.prompt_token.size(0)));
    expect_equal(voice.prompt_feat, whole.prompt_feat.slice(0, 0, voice.prompt_feat.size(0)));
    return std::pair(voice.prompt_token.size(0), voice.prompt_feat.size(0));
  };
  using Sizes = std::pair<int64_t, int64_t>;
  EXPECT_EQ(aligned(25, 50, S3Alignment::kCutCodes), Sizes(25, 50));
  EXPECT_EQ(aligned(26, 51, S3Alignment::kCutCodes), Sizes(25, 51));
  EXPECT_EQ(aligned(24, 51, S3Alignment::kCutCodes), Sizes(24, 51));
  EXPECT_EQ(aligned(25, 50, S3Alignment::kCutBoth), Sizes(25, 50));
  EXPECT_EQ(aligned(26, 51, S3Alignment::kCutBoth), Sizes(25, 50));
  EXPECT_EQ(aligned(24, 51, S3Alignment::kCutBoth), Sizes(24, 48));
}

TEST(S3FlowMel, FramesOfTwentyMilliseconds) {
  const MelExtractor mel(s3_flow_mel_options(8000));
  for (const int64_t samples : {960, 1439, 1440, 24000}) {
    EXPECT_EQ(mel(torch::zeros({samples})).size(0), samples / 480) << samples;
  }
}

// CosyVoice 3 hears up to half the rate: a tone of 10 kHz lies above all bands of its predecessors.
TEST(S3FlowMel, BandsReachUpToFmax) {
  const torch::Tensor tone =
      torch::sin(torch::arange(24000) * (2 * std::numbers::pi * 10000 / 24000));
  const auto loudest = [&](double fmax) {
    return MelExtractor(s3_flow_mel_options(fmax))(tone)[25].max().item<float>();
  };
  EXPECT_GT(loudest(0), 0);
  EXPECT_LT(loudest(8000), -3);
}

}  // namespace
}  // namespace ttsft
