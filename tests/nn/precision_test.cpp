#include "ttsft/nn/precision.h"

#include <gtest/gtest.h>

#include <stdexcept>

namespace ttsft {
namespace {

// LibTorch's two records of the state, which throws where they disagree.
void expect_records_agree() {
  EXPECT_NO_THROW(at::globalContext().allowTF32CuDNN());
  EXPECT_NO_THROW(at::globalContext().allowTF32CuBLAS());
}

TEST(PrecisionScope, SetsAllOperationsAndPutsThemBack) {
  set_float32(Float32::kExact);
  {
    const PrecisionScope scope(Float32::kFast);
    EXPECT_TRUE(float32_is(Float32::kFast));
    EXPECT_FALSE(float32_is(Float32::kExact));
    EXPECT_TRUE(at::globalContext().allowTF32CuDNN());
    EXPECT_TRUE(at::globalContext().allowTF32CuBLAS());
    expect_records_agree();
  }
  EXPECT_TRUE(float32_is(Float32::kExact));
  EXPECT_FALSE(at::globalContext().allowTF32CuDNN());
  EXPECT_FALSE(at::globalContext().allowTF32CuBLAS());
  expect_records_agree();
}

TEST(PrecisionScope, Nests) {
  set_float32(Float32::kExact);
  {
    const PrecisionScope fast(Float32::kFast);
    {
      const PrecisionScope exact(Float32::kExact);
      EXPECT_TRUE(float32_is(Float32::kExact));
    }
    EXPECT_TRUE(float32_is(Float32::kFast));
  }
  EXPECT_TRUE(float32_is(Float32::kExact));
}

TEST(PrecisionScope, EndsWithAnException) {
  set_float32(Float32::kExact);
  try {
    const PrecisionScope fast(Float32::kFast);
    throw std::runtime_error("out of memory");
  } catch (const std::runtime_error&) {
  }
  EXPECT_TRUE(float32_is(Float32::kExact));
}

TEST(PrecisionScope, PutsBackWhatLibTorchStartsWith) {
  at::globalContext().setAllowTF32CuDNN(true);  // its default: convolutions alone
  at::globalContext().setAllowTF32CuBLAS(false);
  EXPECT_FALSE(float32_is(Float32::kExact) || float32_is(Float32::kFast));
  {
    const PrecisionScope exact(Float32::kExact);
    EXPECT_TRUE(float32_is(Float32::kExact));
  }
  EXPECT_TRUE(at::globalContext().allowTF32CuDNN());
  EXPECT_FALSE(at::globalContext().allowTF32CuBLAS());
  set_float32(Float32::kExact);
}

TEST(SpeakingPrecision, IsFastInBf16Alone) {
  EXPECT_EQ(speaking_precision(torch::kBFloat16), Float32::kFast);
  EXPECT_EQ(speaking_precision(torch::kFloat32), Float32::kExact);
}

}  // namespace
}  // namespace ttsft
