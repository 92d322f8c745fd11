// Codecs on another device: upstream's numbers, and the codes of the CPU.
#include <gtest/gtest.h>

#include "tests/support/model_fixture.h"
#include "tests/support/test_device.h"
#include "ttsft/codec/campplus.h"
#include "ttsft/codec/hift.h"
#include "ttsft/codec/s3_tokenizer.h"
#include "ttsft/io/json_reader.h"
#include "ttsft/nn/precision.h"

namespace ttsft {
namespace {

using test::expect_close;
using test::expect_equal;
using test::test_device;

class OnDevice : public testing::Test {
 protected:
  void SetUp() override { TTSFT_REQUIRE_TEST_DEVICE(); }

  std::shared_ptr<const TensorFile> weights() const {
    return fixture_.file("checkpoint/s3gen.safetensors");
  }

  const c10::InferenceMode inference_;
  const PrecisionScope exact_{Float32::kExact};
  test::ModelFixture fixture_{"chatterbox"};
};

TEST_F(OnDevice, CodesAreThoseOfTheCpu) {
  const auto heads = read_json_object(fixture_.path("checkpoint/ttsft_dims.json"))
                         .at("s3tokenizer.n_audio_head")
                         .get<int64_t>();
  std::vector<torch::Tensor> waves;
  for (const char* clip : {"a", "b", "c"})
    waves.push_back(torch::tensor(fixture_.audio(clip).samples));
  std::vector<std::vector<torch::Tensor>> codes;
  for (const torch::Device device : {torch::Device(torch::kCPU), test_device()}) {
    S3Tokenizer tokenizer = load_s3_tokenizer(weights(), "tokenizer.", heads, device);
    std::vector<torch::Tensor> given;
    for (const torch::Tensor& wave : waves) given.push_back(wave.to(device));
    codes.push_back(tokenizer->encode(given, 0));
  }
  for (size_t i = 0; i < waves.size(); ++i) expect_equal(codes[1][i], codes[0][i]);
}

TEST_F(OnDevice, SpeakerVectorIsThatOfTheCpu) {
  const torch::Tensor wave = fixture_.expected("prep", "ref.wav16k_sinc_hann");
  std::vector<torch::Tensor> vectors;
  for (const torch::Device device : {torch::Device(torch::kCPU), test_device()}) {
    Campplus network = load_campplus(weights(), "speaker_encoder.", device);
    vectors.push_back(network->embed({wave.flatten().to(device)}).front());
  }
  expect_close(vectors[1], vectors[0], 1e-3 * vectors[0].abs().max().item<double>());
}

TEST_F(OnDevice, VocoderGivesUpstreamsWave) {
  Hift hift = load_hift(weights(), "mel2wav.", test_device());
  const auto expected = [&](const std::string& name) {
    return fixture_.expected("synth", "text." + name).to(torch::kFloat32);
  };
  const auto there = [&](const std::string& name) { return expected(name).to(test_device()); };
  const torch::Tensor wave =
      hift(there("mel"), HiftNoise{there("phase"), there("source_noise")})[0].to(torch::kCPU);
  constexpr int64_t kFade = 960;  // samples that upstream's recordings have faded in
  const torch::Tensor given = expected("wav").slice(0, kFade);
  const torch::Tensor error = wave.slice(0, kFade) - given;
  EXPECT_LE((error.square().mean() / given.square().mean()).sqrt().item<double>(), 2e-3);
}

}  // namespace
}  // namespace ttsft
