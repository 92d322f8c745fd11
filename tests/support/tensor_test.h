// Comparison of tensors in tests: failures name the place and the values.
#pragma once

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <sstream>
#include <string>

namespace ttsft::test {

inline std::string shape_of(const torch::Tensor& x) {
  std::ostringstream out;
  out << x.sizes();
  return out.str();
}

// Equal shapes and |actual - expected| <= tolerance everywhere; not-a-number never passes.
inline void expect_close(const torch::Tensor& actual, const torch::Tensor& expected,
                         double tolerance, const std::string& what = {}) {
  ASSERT_TRUE(actual.defined() && expected.defined()) << what;
  ASSERT_EQ(shape_of(actual), shape_of(expected)) << what;
  if (expected.numel() == 0) return;
  const torch::Tensor a = actual.detach().to(torch::kCPU, torch::kFloat64).flatten();
  const torch::Tensor b = expected.detach().to(torch::kCPU, torch::kFloat64).flatten();
  const torch::Tensor error = (a - b).abs().nan_to_num(INFINITY, INFINITY, INFINITY);
  const int64_t worst = error.argmax().item<int64_t>();
  EXPECT_LE(error[worst].item<double>(), tolerance)
      << what << ": value " << worst << " of " << shape_of(expected) << " is "
      << a[worst].item<double>() << ", not " << b[worst].item<double>();
}

// Same shape, same type of number (whole or not), same values.
inline void expect_equal(const torch::Tensor& actual, const torch::Tensor& expected,
                         const std::string& what = {}) {
  ASSERT_TRUE(actual.defined() && expected.defined()) << what;
  ASSERT_EQ(actual.is_floating_point(), expected.is_floating_point()) << what;
  expect_close(actual, expected, 0.0, what);
}

}  // namespace ttsft::test
