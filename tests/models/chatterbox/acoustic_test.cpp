#include "models/chatterbox/acoustic.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numbers>

#include "tests/support/model_fixture.h"
#include "tests/support/temporary_folder.h"
#include "ttsft/core/error.h"
#include "ttsft/io/json_reader.h"
#include "ttsft/nn/rng.h"

namespace ttsft::chatterbox {
namespace {

using test::expect_close;
using test::expect_equal;
using ::testing::HasSubstr;

class AcousticTest : public ::testing::Test {
 protected:
  AcousticTest() {
    const auto dims = read_json_object(fixture_.path("checkpoint/ttsft_dims.json"));
    acoustic_ = std::make_unique<Acoustic>(
        fixture_.file("checkpoint/s3gen.safetensors"),
        dims.at("s3gen.decoder.num_heads").get<int64_t>(),
        dims.at("s3gen.decoder.attention_head_dim").get<int64_t>(), torch::kCPU);
  }

  torch::Tensor expected(const std::string& name) const {
    return fixture_.expected("synth", name).to(torch::kFloat32);
  }
  AcousticInput input(const std::string& name) const {
    return {fixture_.expected("synth", name + ".codes"),
            {fixture_.expected("prep", "ref.gen.prompt_token")[0],
             fixture_.expected("prep", "ref.gen.prompt_feat")[0],
             fixture_.expected("prep", "ref.gen.embedding")[0]},
            {expected(name + ".z"), expected(name + ".phase"), expected(name + ".source_noise")}};
  }
  torch::Tensor wave(const AcousticInput& from) {
    return acoustic_->wave(from.codes, from.reference, from.noise);
  }

  test::ModelFixture fixture_{"chatterbox"};
  std::unique_ptr<Acoustic> acoustic_;
};

double relative_error(const torch::Tensor& actual, const torch::Tensor& expected) {
  return ((actual - expected).square().mean() / expected.square().mean()).sqrt().item<double>();
}

TEST_F(AcousticTest, WaveIsUpstreams) {
  for (const std::string name : {"text", "random_codes"}) {
    const torch::Tensor actual = wave(input(name)), given = expected(name + ".wav");
    ASSERT_EQ(actual.sizes(), given.sizes()) << name;
    EXPECT_LE(relative_error(actual, given), 0.02) << name;
    EXPECT_LE((actual - given).abs().max().item<double>(), 0.02) << name;
  }
}

TEST_F(AcousticTest, TheFirstTwentyMillisecondsAreSilent) {
  const torch::Tensor actual = wave(input("random_codes"));
  EXPECT_EQ(actual.narrow(0, 0, 480).abs().max().item<float>(), 0);
  EXPECT_GT(actual.narrow(0, 900, 60).abs().max().item<float>(), 0);
}

TEST_F(AcousticTest, SeveralComeOutAsEachAlone) {
  const std::vector<AcousticInput> inputs{input("random_codes"), input("text")};
  const std::vector<torch::Tensor> waves = acoustic_->waves(inputs);
  ASSERT_EQ(waves.size(), 2u);
  for (size_t i = 0; i < 2; ++i) EXPECT_LE(relative_error(waves[i], wave(inputs[i])), 5e-3) << i;
}

TEST_F(AcousticTest, NoiseIsDrawnInUpstreamsOrder) {
  const AcousticInput given = input("text");
  torch::Generator generator = make_generator(torch::kCPU, 5);
  const AcousticNoise noise = acoustic_->draw(generator, given.reference, given.codes.numel());
  EXPECT_EQ(noise.z.sizes(), given.noise.z.sizes());
  EXPECT_EQ(noise.phase.sizes(), given.noise.phase.sizes());
  EXPECT_EQ(noise.source_noise.sizes(), given.noise.source_noise.sizes());
  EXPECT_EQ(noise.phase[0][0][0].item<float>(), 0);
  EXPECT_LE(noise.phase.abs().max().item<double>(), std::numbers::pi);

  torch::Generator again = make_generator(torch::kCPU, 5);
  expect_equal(noise.z, torch::randn(noise.z.sizes(), again), "z");
  torch::rand({1, 9, 1}, again);
  expect_equal(noise.source_noise, torch::randn(noise.source_noise.sizes(), again), "noise");
  torch::randn({1, noise.source_noise.size(2), 1}, again);
  expect_equal(torch::rand({3}, generator), torch::rand({3}, again), "what comes after it");
}

TEST_F(AcousticTest, RefusesWrongInput) {
  const AcousticInput good = input("text");
  const auto refused = [&](const AcousticInput& from) {
    return message_of<DataError>([&] { wave(from); });
  };
  AcousticInput bad = good;
  bad.noise.z = good.noise.z.slice(-1, 1);
  EXPECT_THAT(refused(bad),
              HasSubstr("noise z has the shape [1, 80, 133] instead of [1, 80, 134]"));
  bad = good;
  bad.noise.phase = good.noise.phase.slice(1, 1);
  EXPECT_THAT(refused(bad), HasSubstr("noise phase has the shape [1, 8, 1] instead of [1, 9, 1]"));
  bad = good;
  bad.noise.source_noise = good.noise.source_noise.slice(-1, 480);
  EXPECT_THAT(refused(bad), HasSubstr("noise source_noise has the shape [1, 9, 15840] instead of "
                                      "[1, 9, 16320]"));
  bad = good;
  bad.codes = good.codes.clone();
  bad.codes[0] = 6562;
  EXPECT_THAT(refused(bad), HasSubstr("6562"));
  bad = good;
  bad.codes = good.codes.slice(0, 0, 0);
  EXPECT_THAT(refused(bad), HasSubstr("codes has the shape [0]"));
  bad = good;
  bad.reference.prompt_feat = torch::zeros({134, 80});
  EXPECT_THAT(refused(bad), HasSubstr("134 mel frames for 50 codes"));
}

}  // namespace
}  // namespace ttsft::chatterbox
