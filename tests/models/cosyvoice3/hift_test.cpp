// Mel to wave against upstream, stage by stage.
#include "models/cosyvoice3/hift.h"

#include <gtest/gtest.h>

#include "tests/models/cosyvoice3/cosyvoice3_fixture.h"
#include "ttsft/io/torch_file.h"

namespace ttsft::cosyvoice3::test {
namespace {

class CausalHiftTest : public testing::Test {
 protected:
  // The recorded noise, as often as it takes: [1, samples, 9].
  static torch::Tensor noise(int64_t samples) {
    const torch::Tensor tile = expected("synth", "noise.sine_tile");
    const int64_t times = samples / tile.size(0) + 1;
    return tile.repeat({times, 1}).narrow(0, 0, samples).unsqueeze(0);
  }
  static torch::Tensor mel(const std::string& name) { return expected("synth", name).unsqueeze(0); }

  const torch::InferenceMode inference_;
  CausalHift hift_ =
      load_causal_hift(open_tensor_file(fixture().path("checkpoint/hift.pt")), torch::kCPU);
};

TEST_F(CausalHiftTest, EveryStageIsUpstreams) {
  std::map<std::string, torch::Tensor> seen;
  const torch::Tensor x = mel("zero_shot.mel");
  const torch::Tensor wave = hift_->forward(x, noise(x.size(2) * 480), {}, true,
                                            [&](std::string_view stage, const torch::Tensor& y) {
                                              seen.try_emplace(std::string(stage), y.clone());
                                            });
  const auto stage = [](const std::string& name) {
    return expected("synth", "zero_shot.hift." + name);
  };
  expect_close(seen.at("f0")[0], stage("f0"), 0.01, "f0");
  expect_close(seen.at("source")[0].t().narrow(0, 0, 4800), stage("source"), 1e-4, "source");
  const auto first = [&](const std::string& ours, const std::string& theirs) {
    const torch::Tensor wanted = stage(theirs);
    expect_close(seen.at(ours)[0].narrow(1, 0, wanted.size(1)), wanted, 1e-4, theirs);
  };
  first("conv_pre", "conv_pre");
  first("ups0", "up0");
  first("source_downs0", "source_down0");
  first("resblocks0", "resblock0");
  first("ups2", "up2");
  first("conv_post", "conv_post");
  const Audio audio = decode_audio(fixture().path("expected/synth_zero_shot.wav")).audio;
  expect_close(wave[0], torch::tensor(audio.samples), 1e-3, "wave");
}

TEST_F(CausalHiftTest, FramesToComeAreOnlyContext) {
  const torch::Tensor x = mel("zero_shot.mel");
  const torch::Tensor wave = hift_->forward(x, noise(x.size(2) * 480), {}, /*final=*/false);
  EXPECT_EQ(hift_->held_back(), 8);
  EXPECT_EQ(wave.size(1), (x.size(2) - 8) * 480);
  const torch::Tensor whole = hift_->forward(x, noise(x.size(2) * 480));
  expect_close(wave[0], whole[0].narrow(0, 0, wave.size(1)), 1e-5, "the whole wave's beginning");
}

TEST_F(CausalHiftTest, RowsOfABatchAreAsAlone) {
  const torch::Tensor x = mel("zero_shot.mel");
  const int64_t frames = x.size(2), shorter = frames - 7;
  const torch::Tensor cut = torch::constant_pad_nd(x.narrow(2, 3, shorter), {0, 7});
  const Rows rows({shorter, frames}, frames, torch::kCPU);
  const torch::Tensor waves =
      hift_->forward(torch::cat({cut, x}), noise(frames * 480).expand({2, -1, -1}), rows);
  expect_close(waves[1], hift_->forward(x, noise(frames * 480))[0], 1e-3, "whole");
  expect_close(waves[0].narrow(0, 0, shorter * 480),
               hift_->forward(x.narrow(2, 3, shorter), noise(shorter * 480))[0], 1e-3, "shorter");
}

}  // namespace
}  // namespace ttsft::cosyvoice3::test
