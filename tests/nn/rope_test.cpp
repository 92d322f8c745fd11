#include "ttsft/nn/rope.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "tests/support/random_weights.h"
#include "tests/support/tensor_test.h"

namespace ttsft {
namespace {

using test::expect_close;
using test::expect_equal;
using test::random;

// Value i of the first half turns with value i of the second half by position * theta^(-2i/d).
torch::Tensor turned_by_hand(const torch::Tensor& x, const std::vector<int64_t>& positions,
                             double theta) {
  const torch::Tensor in = x.to(torch::kFloat64);  // [H, T, d]
  torch::Tensor out = torch::empty_like(in);
  const auto from = in.accessor<double, 3>();
  auto to = out.accessor<double, 3>();
  const int64_t d = x.size(2);
  for (int64_t h = 0; h < x.size(0); ++h) {
    for (int64_t t = 0; t < x.size(1); ++t) {
      for (int64_t i = 0; i < d / 2; ++i) {
        const double frequency =
            std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(d));
        const double angle = static_cast<double>(positions[static_cast<size_t>(t)]) * frequency;
        const double a = from[h][t][i], b = from[h][t][i + d / 2];
        to[h][t][i] = a * std::cos(angle) - b * std::sin(angle);
        to[h][t][i + d / 2] = b * std::cos(angle) + a * std::sin(angle);
      }
    }
  }
  return out;
}

TEST(Rope, PerElementFormula) {
  const torch::Tensor x = random({1, 3, 5, 8}, 1);
  for (const double theta : {100.0, 10000.0, 1e6}) {
    for (const std::vector<int64_t>& positions :
         {std::vector<int64_t>{0, 1, 2, 3, 4}, std::vector<int64_t>{7, 0, 31, 31, 2}}) {
      const Rope rope = make_rope(torch::tensor(positions), 8, theta, torch::kFloat32);
      EXPECT_EQ(test::shape_of(rope.cos), "[1, 1, 5, 8]");
      expect_close(apply_rope(x, rope)[0], turned_by_hand(x[0], positions, theta), 1e-5);
    }
  }
}

TEST(Rope, FarPositions) {
  const torch::Tensor x = random({1, 1, 2, 16}, 1);
  const std::vector<int64_t> positions = {4001, 32767};
  const Rope rope = make_rope(torch::tensor(positions), 16, 1e6, torch::kFloat32);
  // A float32 angle near 32767 is exact to 1/512.
  expect_close(apply_rope(x, rope)[0], turned_by_hand(x[0], positions, 1e6), 5e-3);
}

TEST(Rope, EveryRowHasItsOwnPositions) {
  const torch::Tensor x = random({2, 3, 4, 6}, 1);
  const torch::Tensor positions = torch::tensor({{0, 0, 0, 1}, {5, 6, 7, 8}});
  const Rope rope = make_rope(positions, 6, 10000, torch::kFloat32);
  EXPECT_EQ(test::shape_of(rope.sin), "[2, 1, 4, 6]");
  const torch::Tensor y = apply_rope(x, rope);
  for (int64_t b = 0; b < 2; ++b) {
    const Rope alone = make_rope(positions[b], 6, 10000, torch::kFloat32);
    expect_equal(y[b].unsqueeze(0), apply_rope(x[b].unsqueeze(0), alone));
  }
  const Rope narrow = make_rope(positions.to(torch::kInt32), 6, 10000, torch::kFloat32);
  expect_equal(narrow.cos, rope.cos, "int32 positions");
}

TEST(Rope, ProductsDependOnTheDistanceAlone) {
  const torch::Tensor q = random({1, 1, 1, 8}, 1), k = random({1, 1, 1, 8}, 2);
  const auto product = [&](int64_t i, int64_t j) {
    const Rope at_i = make_rope(torch::tensor({i}), 8, 10000, torch::kFloat32);
    const Rope at_j = make_rope(torch::tensor({j}), 8, 10000, torch::kFloat32);
    return (apply_rope(q, at_i) * apply_rope(k, at_j)).sum().item<double>();
  };
  EXPECT_NEAR(product(9, 4), product(105, 100), 1e-4);
  EXPECT_GT(std::abs(product(9, 4) - product(9, 5)), 1e-2);
}

TEST(Rope, AnglesAreFloat32InABf16Model) {
  // bf16 cannot tell 4001 from 4000.
  const torch::Tensor positions = torch::tensor({4000, 4001});
  const Rope exact = make_rope(positions, 8, 10000, torch::kFloat32);
  const Rope rope = make_rope(positions, 8, 10000, torch::kBFloat16);
  EXPECT_EQ(rope.cos.scalar_type(), torch::kBFloat16);
  expect_equal(rope.cos, exact.cos.to(torch::kBFloat16));
  expect_equal(rope.sin, exact.sin.to(torch::kBFloat16));
  EXPECT_EQ(apply_rope(random({1, 1, 2, 8}, 1).to(torch::kBFloat16), rope).scalar_type(),
            torch::kBFloat16);
}

// Neighbours as the real and imaginary part of a number that turns.
TEST(Rope, InterleavedTurnsNeighbours) {
  const torch::Tensor x = random({1, 2, 5, 6}, 9), positions = torch::arange(3, 8);
  RopeOptions options;
  options.head_dim = 6;
  options.theta = 100;
  options.layout = RopeLayout::kInterleaved;
  const torch::Tensor got = apply_rope(x, make_rope(positions, options, torch::kFloat32));
  const torch::Tensor i = torch::arange(3, torch::kFloat64);
  const torch::Tensor angle =
      positions.to(torch::kFloat64).unsqueeze(1) * torch::pow(100.0, -2 * i / 6).unsqueeze(0);
  const torch::Tensor turn = torch::polar(torch::ones_like(angle), angle);  // [T, 3]
  const torch::Tensor complex =
      torch::view_as_complex(x.to(torch::kFloat64).unflatten(-1, {3, 2}).contiguous());
  expect_close(got, torch::view_as_real(complex * turn).flatten(-2), 1e-5);

  // The same as halves, on a permuted head.
  options.layout = RopeLayout::kHalves;
  const torch::Tensor order = torch::tensor({0, 2, 4, 1, 3, 5});
  const torch::Tensor halves =
      apply_rope(x.index_select(-1, order), make_rope(positions, options, torch::kFloat32));
  expect_close(got.index_select(-1, order), halves, 1e-6);
}

// Wavelengths above 8192 are stretched by 8, below 2048 kept, between them blended.
TEST(Rope, Llama3StretchesLowFrequencies) {
  RopeOptions options;
  options.head_dim = 64;
  options.theta = 500000;
  options.scaling = Llama3Scaling{};
  const torch::Tensor one = torch::tensor({int64_t{1}});
  const Rope rope = make_rope(one, options, torch::kFloat32);
  int kept = 0, blended = 0, stretched = 0;
  for (int64_t i = 0; i < 32; ++i) {
    const double inverse = std::pow(500000.0, -2.0 * static_cast<double>(i) / 64);
    const double wavelength = 2 * std::numbers::pi / inverse;
    double want = inverse;
    if (wavelength > 8192) {
      want = inverse / 8;
      ++stretched;
    } else if (wavelength > 2048) {
      const double share = (8192 / wavelength - 1) / 3;
      want = (1 - share) * inverse / 8 + share * inverse;
      ++blended;
    } else {
      ++kept;
    }
    EXPECT_NEAR(rope.sin.flatten()[i].item<double>(), std::sin(want), 1e-7) << i;
  }
  EXPECT_TRUE(kept > 0 && blended > 0 && stretched > 0);
}

TEST(Rope, InterleavedPositionsOfEachRow) {
  const torch::Tensor x = random({2, 2, 3, 4}, 3);
  const torch::Tensor positions = torch::tensor({{0, 1, 2}, {5, 9, 40}});
  RopeOptions options;
  options.head_dim = 4;
  options.layout = RopeLayout::kInterleaved;
  const torch::Tensor got = apply_rope(x, make_rope(positions, options, torch::kFloat32));
  for (int64_t row = 0; row < 2; ++row) {
    const torch::Tensor alone =
        apply_rope(x.narrow(0, row, 1), make_rope(positions[row], options, torch::kFloat32));
    expect_close(got.narrow(0, row, 1), alone, 1e-6);
  }
}

// Wavelengths of 6.3, 49.6, 392 and 3098: with factors of 1.5 and 16 on a length of 800, the
// borders are 533 and 50.
TEST(Rope, ScalingTakesItsFactorsFromTheOptions) {
  RopeOptions options;
  options.head_dim = 8;
  options.theta = std::pow(7.9, 4);
  options.layout = RopeLayout::kInterleaved;
  options.scaling = Llama3Scaling{32, 1.5, 16, 800};
  const Rope rope = make_rope(torch::tensor({int64_t{3}}), options, torch::kFloat32);
  const double second = 1 / 7.9, third = second / 7.9, fourth = third / 7.9;
  const auto blended = [](double frequency) {
    const double share = (800 * frequency / (2 * std::numbers::pi) - 1.5) / (16 - 1.5);
    EXPECT_TRUE(share > 0 && share < 1) << share;
    return (1 - share) * frequency / 32 + share * frequency;
  };
  const double want[] = {1, second, blended(third), fourth / 32};
  const torch::Tensor angle = torch::atan2(rope.sin, rope.cos).flatten();  // each pair's twice
  for (int64_t i = 0; i < 8; ++i) {
    const double expected = 3 * want[i / 2];
    EXPECT_NEAR(angle[i].item<double>(), expected, 2e-6 * expected) << i;
  }
}

}  // namespace
}  // namespace ttsft
