#include "models/qwen3_tts/acoustic.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/models/qwen3_tts/fixture.h"
#include "ttsft/core/error.h"

namespace ttsft::qwen3_tts {
namespace {

using namespace ttsft::qwen3_tts::test;  // NOLINT: test helpers

class AcousticTest : public testing::Test {
 protected:
  Acoustic acoustic_{codec_weights(), fixture_config().codec, torch::kCPU};
  torch::Tensor codes_ = expected_tensor("synth", "decode_long.codes").to(torch::kInt64);
};

TEST_F(AcousticTest, RowsEqualTheRowsAlone) {
  AcousticRow rows[3];
  rows[0].codes = codes_.narrow(0, 0, 12);
  rows[1].codes = codes_.narrow(0, 0, 0);
  rows[2].codes = codes_.narrow(0, 30, 5);
  rows[2].lead = codes_.narrow(0, 50, 8);
  const auto together = acoustic_.decode(rows);
  ASSERT_EQ(together.size(), 3u);
  EXPECT_EQ(together[1].numel(), 0);
  for (size_t i = 0; i < 3; ++i)
    expect_close(together[i], acoustic_.decode(std::span(rows + i, 1))[0], 1e-5, std::to_string(i));
  // The lead is heard and cut off.
  EXPECT_EQ(together[2].size(0), 5 * 1920);
  AcousticRow without = rows[2];
  without.lead = torch::Tensor();
  EXPECT_GT((acoustic_.decode(std::span(&without, 1))[0] - together[2]).abs().max().item<double>(),
            1e-3);
}

TEST_F(AcousticTest, AStreamEqualsTheWhole) {
  for (const bool led : {false, true}) {
    AcousticRow row;
    row.codes = codes_.narrow(0, 0, 20);
    if (led) row.lead = codes_.narrow(0, 100, 9);
    const torch::Tensor whole = acoustic_.decode(std::span(&row, 1))[0];
    const auto stream = acoustic_.stream(row);
    std::vector<torch::Tensor> waves;
    for (const auto& [from, count] : {std::pair{0, 1}, {1, 0}, {1, 12}, {13, 7}})
      waves.push_back(stream->push(row.codes.narrow(0, from, count)));
    EXPECT_EQ(waves[0].size(0), 1920) << "a frame is heard at once";
    waves.push_back(stream->flush());
    expect_close(torch::cat(waves), whole, 1e-5, led ? "after a lead" : "alone");
  }
}

TEST_F(AcousticTest, NothingIsRandom) {
  const Noise noise = {{"z", torch::zeros({1})}};
  AcousticRow row;
  row.codes = codes_.narrow(0, 0, 2);
  row.noise = &noise;
  EXPECT_THROW(acoustic_.decode(std::span(&row, 1)), DataError);
  EXPECT_THROW(acoustic_.stream(row), DataError);
}

}  // namespace
}  // namespace ttsft::qwen3_tts
