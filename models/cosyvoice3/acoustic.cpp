#include "models/cosyvoice3/acoustic.h"

#include <algorithm>

#include "ttsft/core/error.h"
#include "ttsft/nn/length_batches.h"
#include "ttsft/nn/rng.h"

namespace ttsft::cosyvoice3 {
namespace {

constexpr int64_t kBatchFrames = 6000;   // of mel, prompts included, that run together: 2 minutes
constexpr int64_t kTableFrames = 15000;  // of upstream's noise: 5 minutes

const torch::Tensor* find(const AcousticRow& row, const char* name) {
  if (!row.noise) return nullptr;
  const auto found = row.noise->find(name);
  if (found == row.noise->end())
    throw DataError(std::string("tensor ") + name + " is missing", "--noise",
                    "it holds flow_rand_noise and sine_tile");
  return &found->second;
}

}  // namespace

Acoustic::Acoustic(Flow flow, CausalHift hift, S3Voice voice, double speed, torch::Device device)
    : flow_(std::move(flow)),
      hift_(std::move(hift)),
      voice_(std::move(voice)),
      speed_(speed),
      device_(device) {}

torch::Tensor Acoustic::flow_noise(const AcousticRow& row, int64_t frames) const {
  const int64_t mels = flow_->options().mels;
  if (const torch::Tensor* recorded = find(row, "flow_rand_noise")) {
    if (recorded->dim() != 2 || recorded->size(0) != mels || recorded->size(1) < frames)
      throw DataError("flow_rand_noise has not the shape [" + std::to_string(mels) + ", " +
                          std::to_string(frames) + " or more]",
                      "--noise");
    return recorded->narrow(1, 0, frames).to(torch::kFloat32);
  }
  // Upstream draws it once, from seed 0, when it builds the model: all speech begins from it.
  const int64_t columns = std::max(frames, kTableFrames);
  torch::Generator generator = make_generator(torch::kCPU, 0);
  return torch::randn({mels, columns}, generator).narrow(1, 0, frames).clone();
}

torch::Tensor Acoustic::sine_noise(const AcousticRow& row, int64_t samples) const {
  const int64_t harmonics = hift_->options().harmonics;
  if (const torch::Tensor* tile = find(row, "sine_tile")) {
    if (tile->dim() != 2 || tile->size(1) != harmonics || tile->size(0) == 0)
      throw DataError("sine_tile has not the shape [N, " + std::to_string(harmonics) + "]",
                      "--noise");
    const int64_t times = (samples + tile->size(0) - 1) / tile->size(0);
    return tile->to(torch::kFloat32).repeat({times, 1}).narrow(0, 0, samples);
  }
  torch::Generator generator = make_generator(torch::kCPU, derive_seed(row.seed, "source"));
  return torch::rand({samples, harmonics}, generator);
}

std::vector<torch::Tensor> Acoustic::speak(std::span<const AcousticRow> rows,
                                           const std::vector<size_t>& batch) {
  std::vector<FlowRow> inputs;
  for (const size_t i : batch) {
    const torch::Tensor codes =
        torch::cat({voice_.prompt_token, rows[i].codes.flatten().to(torch::kCPU, torch::kInt64)});
    const int64_t frames = kS3FramesPerCode * codes.size(0);
    inputs.push_back({codes, voice_.prompt_feat, voice_.embedding, flow_noise(rows[i], frames)});
  }
  std::vector<torch::Tensor> mels = flow_(inputs), noises;  // [mels, T] each
  RowLengths lengths;
  for (size_t i = 0; i < mels.size(); ++i) {
    torch::Tensor& mel = mels[i];
    if (speed_ != 1) {
      const auto frames = static_cast<int64_t>(static_cast<double>(mel.size(1)) / speed_);
      mel = torch::upsample_linear1d(mel.unsqueeze(0), {frames}, /*align_corners=*/false)[0];
    }
    mel = mel.t();
    lengths.push_back(mel.size(0));
    noises.push_back(
        sine_noise(rows[batch[i]], mel.size(0) * hift_->options().samples_per_frame()).to(device_));
  }
  const torch::Tensor mel = pad_rows(mels).transpose(1, 2).contiguous();  // [B, mels, T]
  const torch::Tensor spoken =
      hift_(mel, pad_rows(noises), Rows(lengths, mel.size(2), device_)).to(torch::kCPU);
  std::vector<torch::Tensor> waves;
  for (size_t i = 0; i < batch.size(); ++i)
    waves.push_back(spoken[static_cast<int64_t>(i)]
                        .narrow(0, 0, lengths[i] * hift_->options().samples_per_frame())
                        .clone());
  return waves;
}

std::vector<torch::Tensor> Acoustic::decode(std::span<const AcousticRow> rows) {
  const c10::InferenceMode inference;
  std::vector<torch::Tensor> waves(rows.size());
  std::vector<int64_t> sizes;
  std::vector<size_t> spoken;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (rows[i].codes.dim() > 1 && rows[i].codes.numel() != rows[i].codes.size(0))
      throw DataError("codes of several codebooks", "", "CosyVoice 3 has one");
    waves[i] = torch::empty({0});
    if (rows[i].codes.numel() == 0) continue;
    spoken.push_back(i);
    sizes.push_back(kS3FramesPerCode * (voice_.prompt_token.numel() + rows[i].codes.numel()));
  }
  for (const std::vector<size_t>& batch : length_batches(sizes, kBatchFrames)) {
    std::vector<size_t> chosen;
    for (const size_t i : batch) chosen.push_back(spoken[i]);
    const auto made = speak(rows, chosen);
    for (size_t i = 0; i < chosen.size(); ++i) waves[chosen[i]] = made[i];
  }
  return waves;
}

}  // namespace ttsft::cosyvoice3
