#include "ttsft/nn/flow_matching.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "tests/support/random_weights.h"
#include "tests/support/tensor_test.h"

namespace ttsft {
namespace {

using test::expect_close;
using test::random;

TEST(FlowMatching, Schedules) {
  const auto cosine = flow_steps(10, FlowSchedule::kCosine);
  const auto linear = flow_steps(25, FlowSchedule::kLinear);
  ASSERT_EQ(cosine.size(), 10u);
  ASSERT_EQ(linear.size(), 25u);
  for (size_t i = 0; i < 10; ++i) {
    const auto at = [](size_t k) { return 1 - std::cos(std::numbers::pi / 2 * double(k) / 10); };
    EXPECT_NEAR(cosine[i].time, at(i), 1e-7);
    EXPECT_NEAR(cosine[i].dt, at(i + 1) - at(i), 1e-7);
  }
  float sum = 0;
  for (size_t i = 0; i < 25; ++i) {
    EXPECT_NEAR(linear[i].time, double(i) / 25, 1e-6);
    EXPECT_NEAR(linear[i].dt, 0.04, 1e-7);
    EXPECT_EQ(linear[i].time, sum) << "the time is the rounded sum of the steps";
    sum += linear[i].dt;
  }
  expect_close(flow_times(linear, torch::kCPU)[24], torch::tensor(linear[24].time), 0);
  EXPECT_THROW(flow_steps(0, FlowSchedule::kLinear), std::logic_error);
}

// dx/dt = -x with guidance: v = 1.7 (-x) - 0.7 (-2x) = -0.3 x.
TEST(FlowMatching, EulerWithGuidance) {
  const torch::Tensor x = random({2, 3, 4}, 7);
  const auto steps = flow_steps(4, FlowSchedule::kLinear);
  const torch::Tensor y = solve_flow(x, steps, 0.7, [](const torch::Tensor& at, size_t) {
    return torch::cat({-at, -2 * at});
  });
  expect_close(y, x * std::pow(1 - 0.3 / 4, 4), 1e-6);
  const torch::Tensor plain =
      solve_flow(x, steps, 0.7, [](const torch::Tensor& at, size_t) { return -at; });
  expect_close(plain, x * std::pow(1 - 0.25, 4), 1e-6, "without a second half: no guidance");
}

TEST(FlowMatching, EachStepIsSeenAndMayBeCorrected) {
  const torch::Tensor start = torch::zeros({1, 1, 3});
  const auto steps = flow_steps(5, FlowSchedule::kCosine);
  std::vector<size_t> seen;
  int64_t corrected = 0;
  const torch::Tensor y = solve_flow(
      start, steps, 0,
      [&](const torch::Tensor& at, size_t step) {
        seen.push_back(step);
        EXPECT_EQ(at[0][0][0].item<float>(), 0) << "the correction holds for the next step";
        return torch::ones({2, 1, 3});
      },
      [&](torch::Tensor& x) {
        ++corrected;
        x.narrow(2, 0, 1).zero_();
      });
  EXPECT_EQ(seen, (std::vector<size_t>{0, 1, 2, 3, 4}));
  EXPECT_EQ(corrected, 5);
  expect_close(y, torch::tensor({0.f, 1.f, 1.f}).view({1, 1, 3}), 1e-6);
  expect_close(start, torch::zeros({1, 1, 3}), 0, "the noise of the caller stays");
}

TEST(FlowMatching, TimeEmbedding) {
  const torch::Tensor e = sinusoidal_time_embedding(torch::tensor({0.0f, 0.25f}), 4);  // [2, 8]
  for (int64_t k = 0; k < 4; ++k) {
    const double angle = 250 * std::pow(10000.0, -double(k) / 3);
    EXPECT_NEAR(e[1][k].item<double>(), std::sin(angle), 2e-5);
    EXPECT_NEAR(e[1][4 + k].item<double>(), std::cos(angle), 2e-5);
    EXPECT_EQ(e[0][k].item<double>(), 0);
    EXPECT_EQ(e[0][4 + k].item<double>(), 1);
  }
}

}  // namespace
}  // namespace ttsft
