// The codec against upstream, stage by stage, both ways.
#include "models/fish_s2_pro/codec.h"

#include <gtest/gtest.h>

#include <map>

#include "tests/models/fish_s2_pro/fish_fixture.h"
#include "ttsft/core/error.h"

namespace ttsft::fish_s2_pro::test {
namespace {

class CodecTest : public testing::Test {
 protected:
  StageProbe probe() {
    return [this](std::string_view stage, const torch::Tensor& x) {
      seen_.try_emplace(std::string(stage), x.clone());
    };
  }
  static torch::Tensor wave(const std::string& path) {
    return torch::tensor(decode_audio(fixture().path(path)).audio.samples);
  }
  // The first columns of a stage of the first row.
  void expect_stage(const std::string& ours, const torch::Tensor& wanted, double tolerance = 1e-4) {
    ASSERT_TRUE(seen_.contains(ours)) << ours;
    expect_close(seen_.at(ours)[0].narrow(1, 0, wanted.size(1)), wanted, tolerance, ours);
  }

  Codec codec_ = load_codec(fixture().path("checkpoint"), torch::kCPU);
  std::map<std::string, torch::Tensor> seen_;
};

TEST_F(CodecTest, ReadsTheReleasesShape) {
  EXPECT_EQ(codec_->options().hop(), 2048);
  EXPECT_EQ(codec_->options().down, (std::vector<int64_t>{2, 4, 8, 8}));
  EXPECT_EQ(codec_->options().up, (std::vector<int64_t>{8, 8, 4, 2}));
  EXPECT_EQ(codec_->options().codebooks.front(), 4096);
  EXPECT_EQ(codec_->options().codebooks.back(), 1024);
}

TEST_F(CodecTest, EveryStageOfTheEncoderIsUpstreams) {
  const auto codes = codec_->encode({wave("audio/a.wav")}, probe());
  const auto layer = [](const std::string& name) { return expected("layers", "codec." + name); };
  for (const char* stage : {"enc.0", "enc.1", "enc.2", "enc.3"})
    expect_stage(stage, layer(std::string(stage) + ".first256"));
  expect_stage("enc.4.conv", layer("enc.4.conv.first32"));
  expect_stage("enc.4", layer("enc.4.first32"));
  expect_stage("enc.6", layer("enc.6.first32"));
  expect_stage("downsample0", layer("downsample.0.first32"));
  expect_stage("downsample", layer("downsample.first32"));
  expect_stage("pre_module", layer("pre_module.first32"));
  expect_equal(codes[0], clip_codes("a"));
}

TEST_F(CodecTest, RowsOfABatchAreAsAlone) {
  std::vector<torch::Tensor> waves;
  for (const char* id : {"audio/a", "audio/b", "audio/c", "ref/ref"})
    waves.push_back(wave(std::string(id) + ".wav"));
  const auto codes = codec_->encode(waves);
  size_t i = 0;
  for (const char* id : {"a", "b", "c", "ref"}) expect_equal(codes[i++], clip_codes(id), id);
  const auto spoken = codec_->decode(codes);
  for (size_t row = 0; row < codes.size(); ++row)
    expect_close(codec_->decode({codes[row]})[0], spoken[row], 1e-5, std::to_string(row));
}

TEST_F(CodecTest, EveryStageOfTheDecoderIsUpstreams) {
  const torch::Tensor codes = expected("synth", "fixed.codes").t().to(torch::kInt64);
  const torch::Tensor spoken = codec_->decode({codes}, probe())[0];
  const auto stage = [](const std::string& name) { return expected("synth", "fixed." + name); };
  for (const char* name : {"z_q", "post_module", "upsample.0", "upsample", "decoder.0"})
    expect_stage(name, stage(name));
  for (const char* name : {"decoder.1", "decoder.2", "decoder.3", "decoder.4"})
    expect_stage(name, stage(std::string(name) + ".first512"));
  expect_close(spoken, wave("expected/synth_fixed.wav"), 1e-4, "wave");
}

TEST_F(CodecTest, FramesThatComeInPiecesSoundAsAllAtOnce) {
  torch::manual_seed(1);
  const torch::Tensor codes = torch::randint(0, 1024, {300, 10}, torch::kInt64);
  const torch::Tensor whole = codec_->decode({codes})[0];  // in two pieces
  CodecPast past = codec_->make_past(1);
  const torch::Tensor once = codec_->decode_more(codes.unsqueeze(0), past)[0];
  expect_close(whole, once, 1e-5, "two pieces");
  past = codec_->make_past(1);
  std::vector<torch::Tensor> parts;
  for (int64_t done = 0, size = 1; done < codes.size(0); done += size, size = size % 60 + 7)
    parts.push_back(codec_->decode_more(codes.slice(0, done, done + size).unsqueeze(0), past)[0]);
  expect_close(torch::cat(parts), once, 1e-5, "many pieces");
}

TEST_F(CodecTest, WrongCodes) {
  EXPECT_THROW(codec_->decode({torch::zeros({3, 9}, torch::kInt64)}), DataError);
  EXPECT_THROW(codec_->decode({torch::full({3, 10}, 4096, torch::kInt64)}), DataError);
  EXPECT_THROW(codec_->decode({torch::full({3, 10}, -1, torch::kInt64)}), DataError);
  EXPECT_NO_THROW(codec_->decode({torch::full({3, 10}, 4095, torch::kInt64)}));
}

}  // namespace
}  // namespace ttsft::fish_s2_pro::test
