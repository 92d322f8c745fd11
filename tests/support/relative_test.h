// Comparison with a tolerance that grows with the values.
#pragma once

#include "tests/support/tensor_test.h"

namespace ttsft::test {

// Equal shapes and |actual - expected| <= tolerance * (1 + |expected|) everywhere.
inline void expect_near(const torch::Tensor& actual, const torch::Tensor& expected,
                        double tolerance, const std::string& what = {}) {
  ASSERT_TRUE(actual.defined() && expected.defined()) << what;
  ASSERT_EQ(shape_of(actual), shape_of(expected)) << what;
  const torch::Tensor scale = 1 + expected.abs();
  expect_close(actual / scale, expected / scale, tolerance, what);
}

}  // namespace ttsft::test
