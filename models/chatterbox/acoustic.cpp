#include "models/chatterbox/acoustic.h"

#include <algorithm>
#include <numbers>

#include "ttsft/core/error.h"

namespace ttsft::chatterbox {

namespace {

constexpr int64_t kFadePart = 480;  // samples: 20 ms

// The prompt's end bleeds into the first frames; upstream silences them.
torch::Tensor fade_in(torch::Device device) {
  const torch::Tensor rise = (torch::cos(torch::linspace(std::numbers::pi, 0, kFadePart)) + 1) / 2;
  return torch::cat({torch::zeros({kFadePart}), rise}).to(device);
}

}  // namespace

Acoustic::Acoustic(const std::shared_ptr<const TensorFile>& s3gen, int64_t heads, int64_t head_dim,
                   torch::Device device)
    : device_(device),
      flow_(s3gen, heads, head_dim, device),
      hift_(load_hift(s3gen, "mel2wav.", device)),
      fade_(fade_in(device)) {
  if (hift_->options().mels != flow_.options().unet.mels) {
    throw DataError("flow. makes " + std::to_string(flow_.options().unet.mels) +
                        " mel bands and mel2wav. takes " + std::to_string(hift_->options().mels),
                    s3gen->path().string(), "is this the complete checkpoint?");
  }
}

Acoustic::Lengths Acoustic::lengths(const Reference& reference, int64_t codes) const {
  const int64_t frames = flow_.options().encoder.factor * (reference.prompt_token.numel() + codes);
  const int64_t spoken = frames - reference.prompt_feat.size(0);
  return {frames, spoken * hift_->options().samples_per_frame()};
}

AcousticNoise Acoustic::draw(torch::Generator& generator, const Reference& reference,
                             int64_t codes) const {
  const Lengths length = lengths(reference, codes);
  const int64_t harmonics = hift_->options().harmonics;
  const auto normal = [&](std::vector<int64_t> shape) {
    return torch::randn(shape, generator, torch::TensorOptions().device(generator.device()));
  };
  AcousticNoise noise;
  noise.z = normal({1, flow_.options().unet.mels, length.frames});
  noise.phase = torch::empty({1, harmonics, 1}, generator.device())
                    .uniform_(-std::numbers::pi, std::numbers::pi, generator);
  noise.phase.select(1, 0).zero_();
  noise.source_noise = normal({1, harmonics, length.samples});
  normal({1, length.samples, 1});
  return noise;
}

void Acoustic::check(const AcousticInput& input) const {
  const auto fail = [](const std::string& name, const torch::Tensor& given,
                       const std::string& wanted) {
    throw DataError(name + " has the shape " + shape_text(given.sizes().vec()) + " instead of " +
                    wanted);
  };
  if (input.codes.dim() != 1 || input.codes.numel() == 0) fail("codes", input.codes, "[codes]");
  const Reference& reference = input.reference;
  if (reference.prompt_token.dim() != 1) fail("prompt_token", reference.prompt_token, "[codes]");
  if (reference.prompt_feat.dim() != 2) {
    fail("prompt_feat", reference.prompt_feat,
         "[frames, " + std::to_string(flow_.options().unet.mels) + "]");
  }
  const Lengths length = lengths(reference, input.codes.numel());
  if (length.samples <= 0) {
    throw DataError("the reference has " + std::to_string(reference.prompt_feat.size(0)) +
                        " mel frames for " + std::to_string(reference.prompt_token.numel()) +
                        " codes",
                    "", "make the reference anew");
  }
  const int64_t harmonics = hift_->options().harmonics;
  const auto expect = [&](const char* name, const torch::Tensor& given, const Shape& wanted) {
    if (given.sizes() != wanted) fail(std::string("noise ") + name, given, shape_text(wanted));
  };
  expect("z", input.noise.z, {1, flow_.options().unet.mels, length.frames});
  expect("phase", input.noise.phase, {1, harmonics, 1});
  expect("source_noise", input.noise.source_noise, {1, harmonics, length.samples});
}

std::vector<torch::Tensor> Acoustic::waves(std::span<const AcousticInput> inputs) {
  c10::InferenceMode inference_mode;
  std::vector<FlowInput> rows;
  for (const AcousticInput& input : inputs) {
    check(input);
    const torch::Tensor prompt = input.reference.prompt_token.to(torch::kCPU, torch::kInt64);
    rows.push_back({torch::cat({prompt, input.codes.to(torch::kCPU, torch::kInt64)}),
                    input.reference.prompt_feat, input.reference.embedding, input.noise.z});
  }
  const std::vector<torch::Tensor> mels = flow_.inference(rows);
  std::vector<torch::Tensor> results;
  for (size_t i = 0; i < mels.size(); ++i) {
    const AcousticNoise& noise = inputs[i].noise;
    torch::Tensor wave =
        hift_(mels[i].unsqueeze(0), HiftNoise{noise.phase.to(device_, torch::kFloat32),
                                              noise.source_noise.to(device_, torch::kFloat32)})[0];
    const int64_t faded = std::min(fade_.size(0), wave.size(0));
    wave.narrow(0, 0, faded).mul_(fade_.narrow(0, 0, faded));
    results.push_back(wave);
  }
  return results;
}

torch::Tensor Acoustic::wave(const torch::Tensor& codes, const Reference& reference,
                             const AcousticNoise& noise) {
  const AcousticInput input{codes, reference, noise};
  return waves(std::span(&input, 1)).front();
}

}  // namespace ttsft::chatterbox
