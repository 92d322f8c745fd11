#include "models/chatterbox/acoustic.h"

#include <algorithm>
#include <numbers>

#include "ttsft/core/error.h"
#include "ttsft/nn/length_batches.h"
#include "ttsft/nn/rng.h"

namespace ttsft::chatterbox {

namespace {

constexpr int64_t kFadePart = 480;  // samples: 20 ms

// Mel frames, prompts included, that run together: 2 minutes. The vocoder's widest activations take
// 30 kB a frame.
constexpr int64_t kBatchFrames = 6000;

// The prompt's end bleeds into the first frames; upstream silences them.
torch::Tensor fade_in(torch::Device device) {
  const torch::Tensor rise = (torch::cos(torch::linspace(std::numbers::pi, 0, kFadePart)) + 1) / 2;
  return torch::cat({torch::zeros({kFadePart}), rise}).to(device);
}

AcousticNoise recorded(const Noise& noise) {
  const auto take = [&noise](const char* name) {
    const auto found = noise.find(name);
    if (found == noise.end())
      throw DataError(std::string("tensor ") + name + " is missing", "--noise",
                      "it holds z, phase and source_noise");
    return found->second;
  };
  return {take("z"), take("phase"), take("source_noise")};
}

}  // namespace

Acoustic::Acoustic(const std::shared_ptr<const TensorFile>& s3gen, int64_t heads, int64_t head_dim,
                   S3Voice reference, torch::Device device)
    : device_(device),
      reference_(std::move(reference)),
      flow_(load_flow(s3gen, heads, head_dim, device)),
      hift_(load_hift(s3gen, "mel2wav.", device)),
      fade_(fade_in(device)) {
  if (hift_->options().mels != flow_->options().mels) {
    throw DataError("flow. makes " + std::to_string(flow_->options().mels) +
                        " mel bands and mel2wav. takes " + std::to_string(hift_->options().mels),
                    s3gen->path().string(), "is this the complete checkpoint?");
  }
}

Acoustic::Lengths Acoustic::lengths(int64_t codes) const {
  const int64_t frames =
      flow_->options().frames_per_code * (reference_.prompt_token.numel() + codes);
  const int64_t spoken = frames - reference_.prompt_feat.size(0);
  return {frames, spoken * hift_->options().samples_per_frame()};
}

AcousticNoise Acoustic::draw(torch::Generator& generator, int64_t codes) const {
  const Lengths length = lengths(codes);
  const int64_t harmonics = hift_->options().harmonics;
  const auto normal = [&](std::vector<int64_t> shape) {
    return torch::randn(shape, generator, torch::TensorOptions().device(generator.device()));
  };
  AcousticNoise noise;
  noise.z = normal({1, flow_->options().mels, length.frames});
  noise.phase = torch::empty({1, harmonics, 1}, generator.device())
                    .uniform_(-std::numbers::pi, std::numbers::pi, generator);
  noise.phase.select(1, 0).zero_();
  noise.source_noise = normal({1, harmonics, length.samples});
  normal({1, length.samples, 1});
  return noise;
}

AcousticNoise Acoustic::noise_for(const AcousticRow& row) const {
  if (row.noise) return recorded(*row.noise);
  torch::Generator generator = make_generator(device_, derive_seed(row.seed, "acoustic"));
  return draw(generator, row.codes.size(0));
}

void Acoustic::check(const torch::Tensor& codes, const AcousticNoise& noise) const {
  const auto fail = [](const std::string& name, const torch::Tensor& given,
                       const std::string& wanted) {
    throw DataError(name + " has the shape " + shape_text(given.sizes().vec()) + " instead of " +
                    wanted);
  };
  if (codes.dim() != 1) fail("codes", codes, "[codes]");
  const S3Voice& reference = reference_;
  if (reference.prompt_token.dim() != 1) fail("prompt_token", reference.prompt_token, "[codes]");
  if (reference.prompt_feat.dim() != 2) {
    fail("prompt_feat", reference.prompt_feat,
         "[frames, " + std::to_string(flow_->options().mels) + "]");
  }
  const Lengths length = lengths(codes.numel());
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
  expect("z", noise.z, {1, flow_->options().mels, length.frames});
  expect("phase", noise.phase, {1, harmonics, 1});
  expect("source_noise", noise.source_noise, {1, harmonics, length.samples});
}

std::vector<torch::Tensor> Acoustic::speak(std::span<const AcousticRow> rows,
                                           const std::vector<size_t>& batch) {
  const torch::Tensor prompt = reference_.prompt_token.to(torch::kCPU, torch::kInt64);
  std::vector<FlowRow> inputs;
  std::vector<torch::Tensor> phases, noises;
  for (const size_t i : batch) {
    const AcousticRow& row = rows[i];
    const AcousticNoise noise = noise_for(row);
    check(row.codes, noise);
    inputs.push_back({torch::cat({prompt, row.codes.to(torch::kCPU, torch::kInt64)}),
                      reference_.prompt_feat, reference_.embedding, noise.z});
    phases.push_back(noise.phase.to(device_, torch::kFloat32));
    noises.push_back(noise.source_noise[0].to(device_, torch::kFloat32).t());
  }
  std::vector<torch::Tensor> mels = flow_(inputs);  // [mels, T] each
  RowLengths lengths;
  for (torch::Tensor& mel : mels) {
    mel = mel.t();
    lengths.push_back(mel.size(0));
  }
  const torch::Tensor mel = pad_rows(mels).transpose(1, 2);  // [B, mels, T]
  const HiftNoise noise{torch::cat(phases), pad_rows(noises).transpose(1, 2)};
  const torch::Tensor spoken = hift_(mel, noise, Rows(lengths, mel.size(2), device_));
  std::vector<torch::Tensor> waves;
  for (size_t i = 0; i < batch.size(); ++i) {
    const int64_t samples = lengths[i] * hift_->options().samples_per_frame();
    torch::Tensor wave = spoken[static_cast<int64_t>(i)].narrow(0, 0, samples);
    const int64_t faded = std::min(fade_.size(0), samples);
    wave.narrow(0, 0, faded).mul_(fade_.narrow(0, 0, faded));
    waves.push_back(wave.to(torch::kCPU, torch::kFloat32).clone());
  }
  return waves;
}

std::vector<torch::Tensor> Acoustic::decode(std::span<const AcousticRow> rows) {
  c10::InferenceMode inference;
  std::vector<torch::Tensor> waves(rows.size(), torch::empty({0}));
  std::vector<size_t> audible;
  std::vector<int64_t> frames;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (rows[i].codes.numel() == 0) continue;
    audible.push_back(i);
    frames.push_back(lengths(rows[i].codes.size(0)).frames);
  }
  for (std::vector<size_t>& batch : length_batches(frames, kBatchFrames)) {
    for (size_t& row : batch) row = audible[row];
    std::vector<torch::Tensor> spoken = speak(rows, batch);
    for (size_t i = 0; i < batch.size(); ++i) waves[batch[i]] = std::move(spoken[i]);
  }
  return waves;
}

}  // namespace ttsft::chatterbox
