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
  AcousticTest() : acoustic_(make(reference())) {}

  std::unique_ptr<Acoustic> make(const S3Voice& reference) const {
    const auto dims = read_json_object(fixture_.path("checkpoint/ttsft_dims.json"));
    return std::make_unique<Acoustic>(fixture_.file("checkpoint/s3gen.safetensors"),
                                      dims.at("s3gen.decoder.num_heads").get<int64_t>(),
                                      dims.at("s3gen.decoder.attention_head_dim").get<int64_t>(),
                                      reference, torch::kCPU);
  }
  S3Voice reference() const {
    return {fixture_.expected("prep", "ref.gen.prompt_token")[0],
            fixture_.expected("prep", "ref.gen.prompt_feat")[0],
            fixture_.expected("prep", "ref.gen.embedding")[0]};
  }
  torch::Tensor expected(const std::string& name) const {
    return fixture_.expected("synth", name).to(torch::kFloat32);
  }
  torch::Tensor codes(const std::string& name) const {
    return fixture_.expected("synth", name + ".codes");
  }
  Noise noise(const std::string& name) const {
    return {{"z", expected(name + ".z")},
            {"phase", expected(name + ".phase")},
            {"source_noise", expected(name + ".source_noise")}};
  }
  static AcousticRow row(const torch::Tensor& codes, const Noise* noise, uint64_t seed = 0) {
    return {codes, {}, {}, seed, noise};
  }
  torch::Tensor wave(const std::string& name) {
    const Noise recorded = noise(name);
    const AcousticRow one = row(codes(name), &recorded);
    return acoustic_->decode(std::span(&one, 1)).front();
  }

  test::ModelFixture fixture_{"chatterbox"};
  std::unique_ptr<Acoustic> acoustic_;
};

double relative_error(const torch::Tensor& actual, const torch::Tensor& expected) {
  return ((actual - expected).square().mean() / expected.square().mean()).sqrt().item<double>();
}

TEST_F(AcousticTest, WaveIsUpstreams) {
  for (const std::string name : {"text", "random_codes"}) {
    const torch::Tensor actual = wave(name), given = expected(name + ".wav");
    ASSERT_EQ(actual.sizes(), given.sizes()) << name;
    EXPECT_LE(relative_error(actual, given), 0.02) << name;
    EXPECT_LE((actual - given).abs().max().item<double>(), 0.02) << name;
  }
}

TEST_F(AcousticTest, TheFirstTwentyMillisecondsAreSilent) {
  const torch::Tensor actual = wave("random_codes");
  EXPECT_EQ(actual.narrow(0, 0, 480).abs().max().item<float>(), 0);
  EXPECT_GT(actual.narrow(0, 900, 60).abs().max().item<float>(), 0);
}

TEST_F(AcousticTest, SeveralComeOutAsEachAlone) {
  const Noise random = noise("random_codes"), text = noise("text");
  const AcousticRow rows[] = {row(codes("random_codes"), &random),
                              row(torch::empty({0}, torch::kInt64), nullptr),
                              row(codes("text"), &text)};
  const std::vector<torch::Tensor> waves = acoustic_->decode(rows);
  ASSERT_EQ(waves.size(), 3u);
  EXPECT_LE(relative_error(waves[0], wave("random_codes")), 5e-3);
  EXPECT_EQ(waves[1].numel(), 0);
  EXPECT_LE(relative_error(waves[2], wave("text")), 5e-3);
  EXPECT_NE(waves[0].size(0), waves[2].size(0)) << "else nothing was padded";
}

TEST_F(AcousticTest, TheSeedOfARowIsItsSound) {
  const torch::Tensor given = codes("text");
  const AcousticRow rows[] = {row(given, nullptr, 1), row(given, nullptr, 2)};
  const std::vector<torch::Tensor> waves = acoustic_->decode(rows);
  const torch::Tensor alone = acoustic_->decode(std::span(rows).last(1)).front();
  EXPECT_LE(relative_error(waves[1], alone), 5e-3);
  EXPECT_GT(relative_error(waves[0], alone), 0.05);
}

TEST_F(AcousticTest, NoiseIsDrawnInUpstreamsOrder) {
  const Noise given = AcousticTest::noise("text");
  torch::Generator generator = make_generator(torch::kCPU, 5);
  const AcousticNoise noise = acoustic_->draw(generator, codes("text").numel());
  EXPECT_EQ(noise.z.sizes(), given.at("z").sizes());
  EXPECT_EQ(noise.phase.sizes(), given.at("phase").sizes());
  EXPECT_EQ(noise.source_noise.sizes(), given.at("source_noise").sizes());
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
  const Noise good = noise("text");
  const torch::Tensor spoken = codes("text");
  const auto refused = [&](Acoustic& acoustic, const torch::Tensor& codes, const Noise& noise) {
    const AcousticRow one = row(codes, &noise);
    return message_of<DataError>([&] { acoustic.decode(std::span(&one, 1)); });
  };
  Noise bad = good;
  bad["z"] = good.at("z").slice(-1, 1);
  EXPECT_THAT(refused(*acoustic_, spoken, bad),
              HasSubstr("noise z has the shape [1, 80, 133] instead of [1, 80, 134]"));
  bad = good;
  bad["phase"] = good.at("phase").slice(1, 1);
  EXPECT_THAT(refused(*acoustic_, spoken, bad),
              HasSubstr("noise phase has the shape [1, 8, 1] instead of [1, 9, 1]"));
  bad = good;
  bad["source_noise"] = good.at("source_noise").slice(-1, 480);
  EXPECT_THAT(refused(*acoustic_, spoken, bad),
              HasSubstr("noise source_noise has the shape [1, 9, 15840] instead of "
                        "[1, 9, 16320]"));
  bad = good;
  bad.erase("phase");
  EXPECT_THAT(refused(*acoustic_, spoken, bad), HasSubstr("tensor phase is missing: --noise"));
  torch::Tensor outside = spoken.clone();
  outside[0] = 6562;
  EXPECT_THAT(refused(*acoustic_, outside, good), HasSubstr("6562"));
  EXPECT_THAT(refused(*acoustic_, spoken.unsqueeze(1), good), HasSubstr("codes has the shape"));
  S3Voice short_prompt = reference();
  short_prompt.prompt_feat = torch::zeros({134, 80});
  EXPECT_THAT(refused(*make(short_prompt), spoken, good), HasSubstr("134 mel frames for 50 codes"));
}

}  // namespace
}  // namespace ttsft::chatterbox
