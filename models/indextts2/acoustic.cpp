#include "models/indextts2/acoustic.h"

#include "models/indextts2/weights.h"
#include "ttsft/core/error.h"
#include "ttsft/io/torch_file.h"
#include "ttsft/nn/length_batches.h"
#include "ttsft/nn/rng.h"

namespace ttsft::indextts2 {
namespace {

namespace fs = std::filesystem;

// Mel frames, prompts included, that run together: a minute and a half. The vocoder's widest
// activations take 50 kB a frame, twice that inside an activation.
constexpr int64_t kBatchFrames = 8000;

BigVgan read_vocoder(const Config& config, torch::Device device) {
  const fs::path folder = locate(config, Auxiliary::kBigVgan);
  const BigVganOptions options = read_bigvgan_options(folder / "config.json");
  const MelConfig& mel = config.s2mel.mel;
  if (options.mels != mel.n_mels || options.sample_rate != mel.sample_rate ||
      options.samples_per_frame() != mel.hop_length)
    throw DataError("the vocoder is made for another mel than S2Mel's",
                    (folder / "config.json").string(), "take huggingface.co/" + config.vocoder);
  return load_bigvgan(open_tensor_file(folder / "bigvgan_generator.pt"), options, device);
}

}  // namespace

Acoustic::Acoustic(const Config& config, const Options& options, RepCodec codec, S2Mel s2mel,
                   MelPrompt voice, torch::Device device)
    : device_(device),
      mels_(config.s2mel.in_channels),
      codebook_size_(config.semantic_codec.codebook_size),
      flow_{options.diffusion_steps, options.cfg_rate},
      duration_factor_(options.duration_factor),
      codec_(std::move(codec)),
      s2mel_(std::move(s2mel)),
      voice_(std::move(voice)),
      vocoder_(read_vocoder(config, device)) {}

torch::Tensor Acoustic::checked(const torch::Tensor& codes) const {
  const bool column = codes.dim() == 2 && codes.size(1) == 1;
  if (codes.dim() != 1 && !column)
    throw DataError("codes are " + shape_text(codes.sizes().vec()) + ", IndexTTS2 has one " +
                        "codebook: [frames]",
                    "--codes-in");
  torch::Tensor row = codes.flatten().to(device_, torch::kInt64);
  if (row.numel() > 0 &&
      (row.min().item<int64_t>() < 0 || row.max().item<int64_t>() >= codebook_size_))
    throw DataError("a code is outside 0.." + std::to_string(codebook_size_ - 1), "--codes-in");
  return row;
}

torch::Tensor Acoustic::noise_for(const AcousticRow& row, int64_t frames) const {
  if (!row.noise) {
    torch::Generator generator = make_generator(device_, derive_seed(row.seed, "flow"));
    return torch::randn({mels_, frames}, generator, torch::TensorOptions().device(device_));
  }
  const auto found = row.noise->find("noise");
  if (found == row.noise->end())
    throw DataError("tensor noise is missing", "--noise", "it holds noise [mels, frames]");
  if (found->second.sizes() != torch::IntArrayRef{mels_, frames})
    throw DataError("noise is " + shape_text(found->second.sizes().vec()) + ", prompt and target " +
                        "need " + shape_text({mels_, frames}),
                    "--noise");
  return found->second.to(device_);
}

torch::Tensor Acoustic::condition_of(const AcousticRow& row, const torch::Tensor& codes) {
  torch::Tensor vectors = codec_->vq2emb(codes);  // [n, hidden]
  if (row.states.defined())
    vectors = vectors + s2mel_.from_latents(row.states.to(device_, torch::kFloat32));
  return s2mel_.regulate(vectors,
                         std::max<int64_t>(1, mel_frames(codes.size(0), duration_factor_)));
}

std::vector<torch::Tensor> Acoustic::decode(std::span<const AcousticRow> rows) {
  c10::InferenceMode inference;
  const int64_t known = voice_.mel.size(1), hop = vocoder_->options().samples_per_frame();
  std::vector<torch::Tensor> waves(rows.size(), torch::empty({0}));
  std::vector<torch::Tensor> conditions, noise;  // of the rows that are not empty
  std::vector<size_t> audible;
  std::vector<int64_t> frames;
  for (size_t i = 0; i < rows.size(); ++i) {
    const torch::Tensor codes = checked(rows[i].codes);
    if (codes.numel() == 0) continue;
    audible.push_back(i);
    conditions.push_back(condition_of(rows[i], codes));
    frames.push_back(known + conditions.back().size(0));
    noise.push_back(noise_for(rows[i], frames.back()));
  }
  for (const std::vector<size_t>& batch : length_batches(frames, kBatchFrames)) {
    std::vector<torch::Tensor> given, drawn;
    RowLengths lengths;
    for (const size_t i : batch) {
      given.push_back(conditions[i]);
      drawn.push_back(noise[i]);
      lengths.push_back(conditions[i].size(0));
    }
    std::vector<torch::Tensor> mels = s2mel_.mels(voice_, given, drawn, flow_);
    for (torch::Tensor& mel : mels) mel = mel.t();
    const torch::Tensor mel = pad_rows(mels).transpose(1, 2);  // [B, mels, T]
    const torch::Tensor spoken = vocoder_(mel, Rows(lengths, mel.size(2), device_));
    for (size_t i = 0; i < batch.size(); ++i)
      waves[audible[batch[i]]] = spoken[static_cast<int64_t>(i)]
                                     .narrow(0, 0, lengths[i] * hop)
                                     .to(torch::kCPU, torch::kFloat32)
                                     .clone();
  }
  return waves;
}

}  // namespace ttsft::indextts2
