#include "ttsft/train/optimizer.h"

#include <gtest/gtest.h>

#include <cmath>

#include "support/temporary_folder.h"
#include "support/tensor_test.h"
#include "ttsft/core/error.h"
#include "ttsft/nn/weights.h"

namespace ttsft {
namespace {

// One value, as the paper writes it.
struct ByHand {
  double value, m = 0, v = 0;
  int step = 0;
  void update(double gradient, double rate, const AdamWOptions& o) {
    ++step;
    value *= 1 - rate * o.weight_decay;
    m = o.beta1 * m + (1 - o.beta1) * gradient;
    v = o.beta2 * v + (1 - o.beta2) * gradient * gradient;
    const double mean = m / (1 - std::pow(o.beta1, step));
    const double root = std::sqrt(v / (1 - std::pow(o.beta2, step)));
    value -= rate * mean / (root + o.eps);
  }
};

TEST(AdamW, FollowsTheFormulaAndSkipsWhatHasNoGradient) {
  const AdamWOptions options{0.8, 0.95, 1e-6, 0.1};
  const torch::Tensor a = torch::tensor({1.0F, -2.0F}), b = torch::tensor({{0.5F}});
  AdamW optimizer({{"a", a}, {"b", b}}, options);
  std::vector<ByHand> hand = {{1.0}, {-2.0}, {0.5}};
  for (int step = 0; step < 6; ++step) {
    const double rate = 0.1 / (step + 1), g0 = 0.3 * step - 0.5, g1 = 1.0 + step, g2 = -0.7;
    const bool both = step % 2 == 0;
    optimizer.step({torch::tensor({g0, g1}, torch::kFloat32),
                    both ? torch::tensor({{g2}}, torch::kFloat32) : torch::Tensor()},
                   rate);
    hand[0].update(g0, rate, options);
    hand[1].update(g1, rate, options);
    if (both) hand[2].update(g2, rate, options);
    EXPECT_NEAR(a[0].item<double>(), hand[0].value, 1e-6) << step;
    EXPECT_NEAR(a[1].item<double>(), hand[1].value, 1e-6) << step;
    EXPECT_NEAR(b[0][0].item<double>(), hand[2].value, 1e-6) << step;
  }
}

TEST(AdamW, GoesOnFromAStoredStateBitForBit) {
  const TemporaryFolder folder;
  const torch::Tensor whole = torch::ones({5}), half = torch::ones({5}), unused = torch::ones({1});
  AdamW first({{"w", whole}, {"u", unused}}, {});
  const auto gradient = [](int step) {
    return std::vector<torch::Tensor>{torch::arange(5, torch::kFloat32) * 0.1 - 0.05 * step, {}};
  };
  for (int step = 0; step < 3; ++step) first.step(gradient(step), 0.01);
  half.copy_(whole);
  save_tensors(folder / "o.safetensors", first.state());
  AdamW second({{"w", half}, {"u", unused}}, {});
  second.load_state(SafetensorsReader::open(folder / "o.safetensors"));
  for (int step = 3; step < 6; ++step) {
    first.step(gradient(step), 0.01);
    second.step(gradient(step), 0.01);
  }
  test::expect_equal(half, whole);
  ASSERT_EQ(first.state().size(), 3U);  // nothing is kept for what was never updated
}

TEST(AdamW, RefusesAForeignState) {
  const TemporaryFolder folder;
  AdamW two({{"w", torch::ones({2})}, {"x", torch::ones({2})}}, {});
  two.step({torch::ones({2}), torch::ones({2})}, 0.1);
  save_tensors(folder / "o.safetensors", two.state());
  const auto file = SafetensorsReader::open(folder / "o.safetensors");
  AdamW one({{"w", torch::ones({2})}}, {});
  EXPECT_THROW(one.load_state(file), DataError);
  AdamW other({{"w", torch::ones({3})}, {"x", torch::ones({2})}}, {});
  EXPECT_THROW(other.load_state(file), DataError);
}

TEST(ClipGradients, ScalesToTheNormAndReturnsTheOneBefore) {
  const torch::Tensor a = torch::tensor({3.0F}), b = torch::tensor({4.0F});
  EXPECT_FLOAT_EQ(clip_gradients_({a, torch::Tensor(), b}, 1.0).item<float>(), 5.0F);
  EXPECT_NEAR(a.item<double>(), 3.0 / (5.0 + 1e-6), 1e-6);
  EXPECT_NEAR(b.item<double>(), 4.0 / (5.0 + 1e-6), 1e-6);
}

TEST(ClipGradients, LeavesSmallGradientsAndZeroTurnsItOff) {
  const torch::Tensor a = torch::tensor({0.3F});
  EXPECT_FLOAT_EQ(clip_gradients_({a}, 1.0).item<float>(), 0.3F);
  EXPECT_EQ(a.item<float>(), 0.3F);
  const torch::Tensor b = torch::tensor({30.0F});
  EXPECT_FLOAT_EQ(clip_gradients_({b}, 0.0).item<float>(), 30.0F);
  EXPECT_EQ(b.item<float>(), 30.0F);
  EXPECT_EQ(clip_gradients_({torch::Tensor()}, 1.0).item<float>(), 0.0F);
}

}  // namespace
}  // namespace ttsft
