#include "ttsft/features/sinc_resample.h"

#include <gtest/gtest.h>

#include "tests/support/direct_sinc.h"
#include "tests/support/model_fixture.h"
#include "tests/support/random_weights.h"
#include "ttsft/core/error.h"

namespace ttsft {
namespace {

using test::expect_close;
using test::random;

const test::ModelFixture kFixture("indextts2");

void expect_head_and_tail(const torch::Tensor& wave, const std::string& file,
                          const std::string& name) {
  const torch::Tensor head = kFixture.expected(file, name + ".wav16k_head");
  const torch::Tensor tail = kFixture.expected(file, name + ".wav16k_tail");
  ASSERT_EQ(wave.size(0), kFixture.expected(file, name + ".wav16k_len").item<int64_t>()) << name;
  expect_close(wave.narrow(0, 0, head.size(0)), head, 1e-6, name);
  expect_close(wave.narrow(0, wave.size(0) - tail.size(0), tail.size(0)), tail, 1e-6, name);
}

// 24 kHz, 22050 Hz and 16 kHz, each to 24 kHz and from there to 16 kHz.
TEST(SincResample, FunctionIsUpstreams) {
  for (const std::string clip : {"a", "b", "c", "ref"}) {
    const Audio audio = kFixture.audio(clip);
    const torch::Tensor detour = sinc_resample(torch::tensor(audio.samples), audio.sample_rate,
                                               24000, KernelPrecision::kFloat);
    expect_head_and_tail(sinc_resample(detour, 24000, 16000, KernelPrecision::kFloat), "prep",
                         clip);
  }
}

TEST(SincResample, TransformIsUpstreams) {
  const Audio audio = kFixture.audio("ref");
  expect_head_and_tail(sinc_resample(torch::tensor(audio.samples), audio.sample_rate, 16000,
                                     KernelPrecision::kDouble),
                       "synth", "prompt");
}

TEST(SincResample, EqualsTheDefinition) {
  for (const auto& [from, to] :
       {std::pair<int, int>{24000, 16000}, {16000, 24000}, {44100, 16000}, {8000, 22050}}) {
    for (const int64_t count : {1, 500, 1001}) {
      const torch::Tensor x = random({count}, 3, 0.1);
      const std::vector<float> samples(x.data_ptr<float>(), x.data_ptr<float>() + count);
      const torch::Tensor plain =
          torch::tensor(test::direct_sinc(samples, from, to)).to(torch::kFloat32);
      for (const auto precision : {KernelPrecision::kFloat, KernelPrecision::kDouble}) {
        expect_close(sinc_resample(x, from, to, precision), plain, 1e-5);
      }
    }
  }
}

TEST(SincResample, RowsOfABatch) {
  const torch::Tensor x = random({2, 700}, 4, 0.1);
  const torch::Tensor y = sinc_resample(x, 22050, 16000, KernelPrecision::kDouble);
  for (int64_t i = 0; i < 2; ++i) {
    expect_close(y[i], sinc_resample(x[i], 22050, 16000, KernelPrecision::kDouble), 1e-6);
  }
}

TEST(SincResample, SameRateAndBadRates) {
  const torch::Tensor x = random({50}, 5);
  EXPECT_TRUE(sinc_resample(x, 16000, 16000, KernelPrecision::kFloat).equal(x));
  EXPECT_EQ(sinc_resample(torch::zeros({0}), 8000, 16000, KernelPrecision::kFloat).numel(), 0);
  EXPECT_THROW(sinc_resample(x, 0, 16000, KernelPrecision::kFloat), DataError);
  EXPECT_THROW(sinc_resample(x, 16000, -1, KernelPrecision::kDouble), DataError);
}

}  // namespace
}  // namespace ttsft
