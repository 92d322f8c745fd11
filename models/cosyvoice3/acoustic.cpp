#include "models/cosyvoice3/acoustic.h"

#include <algorithm>
#include <optional>

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

void refuse_codebooks(const torch::Tensor& codes) {
  if (codes.dim() > 1 && codes.numel() != codes.size(0))
    throw DataError("codes of several codebooks", "", "CosyVoice 3 has one");
}

// Upstream: cosyvoice/cli/model.py, CosyVoice3Model.tts (stream=True).
class Stream : public AcousticStream {
 public:
  Stream(Acoustic& acoustic, const AcousticRow& row)
      : acoustic_(acoustic), row_(row), hop_(acoustic.options().chunk_codes) {
    // Chunks count from the prompt's first code: the first piece fills the chunk that it ends in.
    hop_ += (hop_ - acoustic.prompt_codes() % hop_) % hop_;
  }

  torch::Tensor push(const torch::Tensor& codes) override {
    refuse_codebooks(codes);
    codes_ = torch::cat({codes_, codes.flatten().to(torch::kCPU, torch::kInt64)});
    const c10::InferenceMode inference;
    std::vector<torch::Tensor> pieces = {torch::empty({0})};
    const int64_t chunk = acoustic_.options().chunk_codes, ahead = acoustic_.codes_ahead();
    while (codes_.numel() >= spoken_ + hop_ + ahead) {
      pieces.push_back(speak(codes_.narrow(0, 0, spoken_ + hop_ + ahead), ahead, false));
      spoken_ += hop_;
      next_ = std::min(kLargestPiece * chunk, 2 * next_.value_or(chunk));
      hop_ = *next_;
    }
    return torch::cat(pieces);
  }

  torch::Tensor flush() override {
    const c10::InferenceMode inference;
    return codes_.numel() == 0 ? torch::empty({0}) : speak(codes_, 0, true);
  }

 private:
  static constexpr int64_t kLargestPiece = 4;  // chunks

  torch::Tensor speak(const torch::Tensor& codes, int64_t ahead, bool final) {
    // Frames that have sounded stay as they were: the source's phase runs through all of them.
    const torch::Tensor mel = acoustic_.frames_of(row_, codes, ahead);
    mel_ = mel_.defined() ? torch::cat({mel_, mel.slice(1, mel_.size(1))}, 1) : mel;
    const torch::Tensor wave = acoustic_.wave_of(row_, mel_, final);
    const torch::Tensor piece = wave.slice(0, samples_).clone();
    samples_ = wave.numel();
    return piece;
  }

  Acoustic& acoustic_;
  AcousticRow row_;
  torch::Tensor codes_ = torch::empty({0}, torch::kInt64);
  torch::Tensor mel_;   // [mels, T] so far
  int64_t spoken_ = 0;  // codes that the pieces so far are made of
  int64_t samples_ = 0;
  int64_t hop_;
  std::optional<int64_t> next_;
};

}  // namespace

Acoustic::Acoustic(Flow flow, CausalHift hift, S3Voice voice, const AcousticOptions& options,
                   torch::Device device)
    : flow_(std::move(flow)),
      hift_(std::move(hift)),
      voice_(std::move(voice)),
      options_(options),
      device_(device) {}

torch::Tensor Acoustic::flow_noise(const AcousticRow& row, int64_t frames) {
  const int64_t mels = flow_->options().mels;
  if (const torch::Tensor* recorded = find(row, "flow_rand_noise")) {
    if (recorded->dim() != 2 || recorded->size(0) != mels || recorded->size(1) < frames)
      throw DataError("flow_rand_noise has not the shape [" + std::to_string(mels) + ", " +
                          std::to_string(frames) + " or more]",
                      "--noise");
    return recorded->narrow(1, 0, frames).to(torch::kFloat32);
  }
  if (!table_.defined()) {
    // Upstream draws it once, from seed 0, when it builds the model: all speech begins from it.
    torch::Generator generator = make_generator(torch::kCPU, 0);
    table_ = torch::randn({mels, kTableFrames}, generator);
  }
  // Upstream fails on more than the table holds; here it begins again.
  const int64_t times = (frames + kTableFrames - 1) / kTableFrames;
  return (times > 1 ? table_.repeat({1, times}) : table_).narrow(1, 0, frames);
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

FlowRow Acoustic::flow_row(const AcousticRow& row, const torch::Tensor& codes, int64_t ahead) {
  const torch::Tensor all =
      torch::cat({voice_.prompt_token, codes.flatten().to(torch::kCPU, torch::kInt64)});
  const int64_t frames = kS3FramesPerCode * (all.size(0) - ahead);
  return {all, voice_.prompt_feat, voice_.embedding, flow_noise(row, frames)};
}

FlowReach Acoustic::reach(bool chunked, int64_t ahead) const {
  return {chunked ? kS3FramesPerCode * options_.chunk_codes : 0, ahead};
}

torch::Tensor Acoustic::frames_of(const AcousticRow& row, const torch::Tensor& codes,
                                  int64_t ahead) {
  const FlowRow input = flow_row(row, codes, ahead);
  return flow_(std::span(&input, 1), StageProbe{}, reach(true, ahead)).front();
}

torch::Tensor Acoustic::wave_of(const AcousticRow& row, const torch::Tensor& mel, bool final) {
  const int64_t frames = mel.size(1);
  if (!final && frames <= hift_->held_back()) return torch::empty({0});
  const torch::Tensor noise = sine_noise(row, frames * hift_->options().samples_per_frame());
  return hift_(mel.unsqueeze(0), noise.to(device_).unsqueeze(0), Rows(), final)[0].to(torch::kCPU);
}

std::unique_ptr<AcousticStream> Acoustic::stream(const AcousticRow& row) {
  if (options_.speed != 1)
    throw UsageError("speech of another speed is not streamed", "cosyvoice3.speed",
                     "leave --stream out, or set it to 1");
  return std::make_unique<Stream>(*this, row);
}

std::vector<torch::Tensor> Acoustic::speak(std::span<const AcousticRow> rows,
                                           const std::vector<size_t>& batch) {
  std::vector<FlowRow> inputs;
  for (const size_t i : batch) inputs.push_back(flow_row(rows[i], rows[i].codes, 0));
  std::vector<torch::Tensor> mels = flow_(inputs, StageProbe{}, reach(options_.chunked, 0));
  std::vector<torch::Tensor> noises;
  RowLengths lengths;
  for (size_t i = 0; i < mels.size(); ++i) {
    torch::Tensor& mel = mels[i];
    if (options_.speed != 1) {
      const auto frames = static_cast<int64_t>(static_cast<double>(mel.size(1)) / options_.speed);
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
    refuse_codebooks(rows[i].codes);
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
