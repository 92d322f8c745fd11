#include "ttsft/features/sinc_resample.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>
#include <string>

#include "ttsft/core/error.h"

namespace ttsft {

namespace {

constexpr double kWidth = 6, kRolloff = 0.99;

struct Kernel {
  torch::Tensor taps;  // [target, 1, 2 width + orig], float32
  int64_t width;
};

Kernel make_kernel(int64_t orig, int64_t target, KernelPrecision precision, torch::Device device) {
  const double base = static_cast<double>(std::min(orig, target)) * kRolloff;
  const auto width = static_cast<int64_t>(std::ceil(kWidth * static_cast<double>(orig) / base));
  const auto dtype = precision == KernelPrecision::kFloat ? torch::kFloat32 : torch::kFloat64;
  const auto floats = torch::TensorOptions().dtype(torch::kFloat32).device(device);
  const torch::Tensor index =
      torch::arange(-width, width + orig, floats.dtype(dtype)).div_(static_cast<double>(orig));
  // Upstream divides whole numbers here, which yields float32 in both cases.
  const torch::Tensor phase =
      torch::arange(0, -target, -1, floats).div_(static_cast<double>(target)).view({-1, 1, 1});
  torch::Tensor t = (phase.to(dtype) + index).mul_(base).clamp_(-kWidth, kWidth);
  const torch::Tensor window = torch::cos(t * std::numbers::pi / kWidth / 2).square();
  t.mul_(std::numbers::pi);
  const torch::Tensor sinc = torch::where(t == 0, torch::ones({}, t.options()), t.sin() / t);
  return {(sinc * (window * (base / static_cast<double>(orig)))).to(torch::kFloat32), width};
}

}  // namespace

torch::Tensor sinc_resample(const torch::Tensor& samples, int from, int to,
                            KernelPrecision precision) {
  c10::InferenceMode guard;
  if (from < 1 || to < 1) {
    throw DataError(
        "cannot resample from " + std::to_string(from) + " to " + std::to_string(to) + " Hz", "",
        "both rates must be positive");
  }
  if (from == to || samples.numel() == 0) return samples;
  const int64_t common = std::gcd(from, to), orig = from / common, target = to / common;
  const Kernel kernel = make_kernel(orig, target, precision, samples.device());
  const int64_t count = samples.size(-1);
  // Upstream takes the ceiling of a float32, which for long files loses a fraction and with it the
  // last sample.
  const auto length = static_cast<int64_t>(std::ceil(
      static_cast<float>(static_cast<double>(target * count) / static_cast<double>(orig))));
  const torch::Tensor padded =
      torch::constant_pad_nd(samples.reshape({-1, 1, count}), {kernel.width, kernel.width + orig});
  const torch::Tensor phases = torch::conv1d(padded, kernel.taps, {}, orig);  // [B, target, T]
  const torch::Tensor waves = phases.transpose(1, 2).flatten(1).narrow(1, 0, length);
  return samples.dim() == 1 ? waves[0] : waves;
}

}  // namespace ttsft
