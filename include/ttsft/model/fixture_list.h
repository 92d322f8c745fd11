// Names and shapes of a random checkpoint, in the terms that models are described in.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "ttsft/model/fixture.h"

namespace ttsft {

class FixtureList {
 public:
  using Fill = FixtureTensor::Fill;

  explicit FixtureList(DType dtype) : dtype_(dtype) {}
  std::vector<FixtureTensor> tensors;

  void add(const std::string& name, Shape shape, Fill fill = Fill::kNormal, double scale = 0.02) {
    tensors.push_back({name, dtype_, std::move(shape), fill, scale});
  }
  // A matrix whose product keeps the size of its input: deviation 1 / sqrt(fan in).
  void weight(const std::string& name, Shape shape);
  // <name>.weight and <name>.bias: a linear or convolution of that weight shape [out, in, ...].
  void conv(const std::string& name, Shape shape);
  // <name>.weight of ones and <name>.bias: a LayerNorm.
  void norm(const std::string& name, int64_t size);
  // A BatchNorm with its running statistics; affine: with weight and bias.
  void batch_norm(const std::string& name, int64_t size, bool affine = true);
  // A convolution with weight normalisation, as torch's parametrizations store it.
  void normed_conv(const std::string& name, Shape shape, int64_t bias);

 private:
  DType dtype_;
};

}  // namespace ttsft
