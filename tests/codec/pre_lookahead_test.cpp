#include "ttsft/codec/pre_lookahead.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/model_fixture.h"
#include "tests/support/random_weights.h"
#include "tests/support/temporary_folder.h"
#include "ttsft/core/error.h"
#include "ttsft/nn/weights.h"

namespace ttsft {
namespace {

using test::expect_close;
using test::random;
using ::testing::HasSubstr;

constexpr const char* kPrefix = "flow.encoder.pre_lookahead_layer.";

TEST(PreLookahead, IsUpstreams) {
  const test::ModelFixture fixture("chatterbox");
  const auto file = fixture.file("checkpoint/s3gen.safetensors");
  PreLookahead layer(pre_lookahead_options(*file, kPrefix));
  load_strict(*layer, file, {.prefix = kPrefix});
  const torch::NoGradGuard no_grad;
  expect_close(layer(fixture.expected("layers", "flow.enc.embed")),
               fixture.expected("layers", "flow.enc.pre_lookahead"), 1e-5);
}

// CosyVoice 3: narrow frames, many channels inside. Frame 10 is heard by the ones whose first
// convolution reaches it, and by those behind them that the second one tells.
TEST(PreLookahead, HearsTheNextFramesAndNoMore) {
  const torch::NoGradGuard no_grad;
  PreLookahead layer(PreLookaheadOptions{.dim = 5, .inner = 16});
  test::randomize(*layer);
  const torch::Tensor x = random({1, 20, 5}, 1);
  torch::Tensor changed = x.clone();
  changed.select(1, 10).add_(1);
  const torch::Tensor difference = (layer(changed) - layer(x)).abs().amax(-1)[0];
  for (int64_t t = 0; t < 20; ++t) {
    const bool hears = t >= 10 - 3 && t <= 10 + 2;
    EXPECT_EQ(difference[t].item<float>() > 1e-3, hears) << t;
    if (!hears) EXPECT_EQ(difference[t].item<float>(), 0) << t;
  }
}

TEST(PreLookahead, FormulaOfOneFrame) {
  const torch::NoGradGuard no_grad;
  PreLookahead layer(PreLookaheadOptions{.dim = 3, .inner = 4, .lookahead = 2});
  test::randomize(*layer);
  const auto p = layer->named_parameters();
  const torch::Tensor x = random({1, 1, 3}, 2);
  // Alone, a frame sees itself through the first tap of conv1 and the last one of conv2.
  const torch::Tensor inner = torch::mv(p["conv1.weight"].select(2, 0), x[0][0]) + p["conv1.bias"];
  const torch::Tensor y =
      torch::mv(p["conv2.weight"].select(2, 2), torch::where(inner > 0, inner, inner * 0.01));
  expect_close(layer(x)[0][0], y + p["conv2.bias"] + x[0][0], 1e-5);
}

TEST(PreLookahead, SizesComeFromShapes) {
  const TemporaryFolder folder;
  const auto read = [&](const Shape& first, const Shape& second) {
    save_tensors(folder / "p.safetensors", {{"p.conv1.weight", torch::zeros(first)},
                                            {"p.conv2.weight", torch::zeros(second)}});
    return pre_lookahead_options(SafetensorsReader::open(folder / "p.safetensors"), "p.");
  };
  const PreLookaheadOptions found = read({1024, 80, 4}, {80, 1024, 3});
  EXPECT_EQ(found.dim, 80);
  EXPECT_EQ(found.inner, 1024);
  EXPECT_EQ(found.lookahead, 3);
  EXPECT_EQ(found.lookahead_kernel, 3);
  EXPECT_THAT(message_of<DataError>([&] {
                read({1024, 80, 4}, {80, 512, 3});
              }),
              HasSubstr("p.conv2.weight has the shape [80, 512, 3]"));
}

}  // namespace
}  // namespace ttsft
