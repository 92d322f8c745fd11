#include "ttsft/nn/noise.h"

#include <numbers>

#include "ttsft/core/error.h"
#include "ttsft/nn/rng.h"

namespace ttsft {
namespace {

constexpr int64_t kWord = 0xffffffff;
constexpr int64_t kFirst = 0x7feb352d, kSecond = 0x846ca68b;  // lowbias32
constexpr double kUnit = 1.0 / (1 << 23);  // a half more than 23 bits is a float32 still

// x, in [0, 2^32) in int64, is the caller's to overwrite. The products wrap around; what they leave
// above the word is cut off. `between` is added half way.
torch::Tensor mix(torch::Tensor x, const torch::Tensor& between = {}) {
  x.bitwise_xor_(x.bitwise_right_shift(16)).mul_(kFirst);
  if (between.defined()) x.add_(between);
  x.bitwise_and_(kWord);
  x.bitwise_xor_(x.bitwise_right_shift(15)).mul_(kSecond).bitwise_and_(kWord);
  return x.bitwise_xor_(x.bitwise_right_shift(16));
}

std::string shape_words(torch::IntArrayRef shape) {
  std::string text = "[steps";
  for (const int64_t size : shape) text += ", " + std::to_string(size);
  return text + "]";
}

}  // namespace

torch::Tensor seed_words(const std::vector<uint64_t>& seeds, torch::Device device) {
  torch::Tensor words = torch::empty({std::ssize(seeds), 2}, torch::kInt64);
  for (size_t row = 0; row < seeds.size(); ++row) {
    const uint64_t mixed = derive_seed(seeds[row], "decoding");
    words[static_cast<int64_t>(row)][0] = static_cast<int64_t>(mixed & kWord);
    words[static_cast<int64_t>(row)][1] = static_cast<int64_t>(mixed >> 32);
  }
  return words.to(device);
}

NoiseSource::NoiseSource(torch::Tensor seeds, torch::Tensor steps, const RecordedDraws* recorded)
    : seeds_(std::move(seeds)), steps_(std::move(steps)), recorded_(recorded) {}

torch::Tensor NoiseSource::hashed(const std::string& stream, int64_t count) const {
  const uint64_t name = derive_seed(0, stream);
  const torch::Tensor step = mix((steps_ + static_cast<int64_t>(name & kWord)).bitwise_and_(kWord));
  const torch::Tensor keys = mix(seeds_.bitwise_xor(step.unsqueeze(1)));  // [rows, 2]
  const torch::Tensor place = mix(torch::arange(count, seeds_.options()));
  return mix(place.bitwise_xor(keys.narrow(1, 0, 1)), keys.narrow(1, 1, 1));
}

const torch::Tensor* NoiseSource::find(const std::string& stream, torch::IntArrayRef shape) const {
  if (!recorded_) return nullptr;
  const auto found = recorded_->find(stream);
  if (found == recorded_->end()) return nullptr;
  const torch::Tensor& draws = found->second;
  if (draws.dim() != static_cast<int64_t>(shape.size()) + 1 || draws.sizes().slice(1) != shape)
    throw DataError("recorded draws '" + stream + "' have another shape than " + shape_words(shape),
                    "--noise");
  return &draws;
}

torch::Tensor NoiseSource::uniform(const std::string& stream, torch::IntArrayRef shape) const {
  std::vector<int64_t> sizes = {steps_.size(0)};
  sizes.insert(sizes.end(), shape.begin(), shape.end());
  if (const torch::Tensor* draws = find(stream, shape)) return draws->index_select(0, steps_);
  const torch::Tensor words = hashed(stream, c10::multiply_integers(shape));
  return words.bitwise_right_shift_(9).to(torch::kFloat32).add_(0.5).mul_(kUnit).view(sizes);
}

torch::Tensor NoiseSource::normal(const std::string& stream, torch::IntArrayRef shape) const {
  if (const torch::Tensor* draws = find(stream, shape)) return draws->index_select(0, steps_);
  const torch::Tensor radius = (uniform(stream + " radius", shape).log_() * -2).sqrt_();
  const torch::Tensor angle = uniform(stream + " angle", shape).mul_(2 * std::numbers::pi);
  return radius * angle.cos_();
}

}  // namespace ttsft
