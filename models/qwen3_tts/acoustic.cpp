#include "models/qwen3_tts/acoustic.h"

#include "ttsft/core/error.h"

namespace ttsft::qwen3_tts {
namespace {

// Samples of the lead at the front of a wave. In double and in this order, as upstream: it may be
// one sample less than frames times 1920.
int64_t lead_samples(int64_t lead, int64_t frames, int64_t samples) {
  const auto before = static_cast<double>(lead);
  return static_cast<int64_t>(before / (before + static_cast<double>(frames)) *
                              static_cast<double>(samples));
}

void refuse_noise(const AcousticRow& row) {
  if (row.noise) throw DataError("Qwen3-TTS's decoder draws no noise", "--noise", "leave it out");
}

class Stream : public AcousticStream {
 public:
  Stream(CodecDecoder decoder, const torch::Tensor& lead) : codec_(std::move(decoder)) {
    if (lead.defined() && lead.size(0) > 0) codec_.push(lead);
  }
  torch::Tensor push(const torch::Tensor& codes) override {
    return codes.size(0) == 0 ? torch::empty({0}) : codec_.push(codes).to(torch::kCPU);
  }
  torch::Tensor flush() override {
    return torch::empty({0});
  }  // a causal decoder holds nothing back

 private:
  CodecStream codec_;
};

}  // namespace

Acoustic::Acoustic(const std::shared_ptr<const TensorFile>& codec, const CodecConfig& config,
                   torch::Device device)
    : config_(config), device_(device), decoder_(load_codec_decoder(codec, config, device)) {}

std::vector<torch::Tensor> Acoustic::decode(std::span<const AcousticRow> rows) {
  c10::InferenceMode inference;
  std::vector<torch::Tensor> sequences;  // of the rows that are not empty
  for (const AcousticRow& row : rows) {
    refuse_noise(row);
    if (row.codes.numel() == 0) continue;
    const torch::Tensor own = row.codes.to(device_, torch::kInt64);
    sequences.push_back(row.lead.defined() ? torch::cat({row.lead.to(device_, torch::kInt64), own})
                                           : own);
  }
  std::vector<torch::Tensor> waves, decoded;
  if (!sequences.empty()) decoded = decoder_->decode(sequences);
  size_t next = 0;
  for (const AcousticRow& row : rows) {
    if (row.codes.numel() == 0) {
      waves.push_back(torch::empty({0}));
      continue;
    }
    const torch::Tensor& wave = decoded[next++];
    const int64_t drop =
        row.lead.defined() ? lead_samples(row.lead.size(0), row.codes.size(0), wave.size(0)) : 0;
    waves.push_back(wave.slice(0, drop).to(torch::kCPU).contiguous());
  }
  return waves;
}

std::unique_ptr<AcousticStream> Acoustic::stream(const AcousticRow& row) {
  refuse_noise(row);
  return std::make_unique<Stream>(decoder_, row.lead);
}

}  // namespace ttsft::qwen3_tts
