#include "models/cosyvoice3/encoders.h"

#include "models/cosyvoice3/config.h"
#include "ttsft/audio/sinc_resample.h"
#include "ttsft/codec/onnx_encoders.h"

namespace ttsft::cosyvoice3 {
namespace {

constexpr int64_t kSamplesPerCode = kOutputRate / 25;  // 960

}  // namespace

S3Tokenizer load_tokenizer(const std::filesystem::path& checkpoint, torch::Device device) {
  const auto weights = s3_tokenizer_weights(OnnxFile::open(checkpoint / kTokenizerFile));
  const int64_t width = weights->at("encoder.conv1.weight").shape[0];
  return load_s3_tokenizer(weights, "", width / kS3HeadDim, device);
}

Campplus load_speaker_network(const std::filesystem::path& checkpoint, torch::Device device,
                              SegmentMean pool) {
  return load_campplus(campplus_weights(OnnxFile::open(checkpoint / kSpeakerFile)), "", device,
                       pool);
}

std::vector<float> resampled(const Audio& audio, int rate) {
  return audio.sample_rate == rate
             ? audio.samples
             : resample_sinc(audio.samples, audio.sample_rate, rate, KernelPrecision::kDouble);
}

torch::Tensor training_mel(const std::vector<float>& wave24k) {
  static const MelExtractor extract(s3_flow_mel_options(/*fmax=*/0));
  const auto samples = static_cast<int64_t>(wave24k.size());
  const int64_t whole = (samples + kSamplesPerCode - 1) / kSamplesPerCode * kSamplesPerCode;
  const torch::Tensor wave = torch::constant_pad_nd(torch::tensor(wave24k), {0, whole - samples});
  return extract(wave);
}

}  // namespace ttsft::cosyvoice3
