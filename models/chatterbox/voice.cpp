#include "models/chatterbox/voice.h"

#include <algorithm>

#include "ttsft/audio/sinc_resample.h"
#include "ttsft/core/error.h"
#include "ttsft/io/torch_file.h"
#include "ttsft/nn/weights.h"

namespace ttsft::chatterbox {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kPromptSeconds = 6;    // that T3 hears of a reference
constexpr int64_t kDecoderSeconds = 10;  // that S3Gen hears
constexpr double kDecoderFmax = 8000;    // Hz, of its mel

torch::Tensor tensor_of(const std::vector<float>& wave, torch::Device device) {
  return torch::tensor(wave).to(device);
}

}  // namespace

Voice read_voice(const fs::path& path) {
  const auto file = TorchFile::open(path);
  const auto take = [&](const char* name, torch::Dtype type) {
    return copy_tensor(file->at(name)).to(type);
  };
  Voice voice;
  voice.t3.speaker = take("t3.speaker_emb", torch::kFloat32).flatten();
  voice.t3.prompt = take("t3.cond_prompt_speech_tokens", torch::kInt64).flatten();
  voice.gen.prompt_token = take("gen.prompt_token", torch::kInt64).flatten();
  voice.gen.prompt_feat = take("gen.prompt_feat", torch::kFloat32);
  voice.gen.embedding = take("gen.embedding", torch::kFloat32).flatten();
  if (voice.gen.prompt_feat.dim() != 3 || voice.gen.prompt_feat.size(0) != 1)
    throw DataError("gen.prompt_feat is not [1, frames, mels]", path.string(),
                    "make the voice again of a recording");
  voice.gen.prompt_feat = voice.gen.prompt_feat.squeeze(0);
  for (const torch::Tensor& codes : {voice.t3.prompt, voice.gen.prompt_token}) {
    if (codes.numel() == 0 || codes.min().item<int64_t>() < 0 ||
        codes.max().item<int64_t>() >= kSpeechCodes)
      throw DataError("the prompt's codes are not speech codes", path.string(),
                      "make the voice again of a recording");
  }
  return voice;
}

void write_voice(const fs::path& file, const Voice& voice, double exaggeration) {
  std::vector<torch::Tensor> kept;
  const auto value = [&kept](const torch::Tensor& tensor) {
    kept.push_back(tensor.to(torch::kCPU).contiguous());
    return TorchValue{view_tensor("", kept.back())};
  };
  const torch::Tensor codes = voice.gen.prompt_token.unsqueeze(0);
  const TorchValue::Dict t3 = {{"speaker_emb", value(voice.t3.speaker.unsqueeze(0))},
                               {"clap_emb", {}},
                               {"cond_prompt_speech_tokens", value(voice.t3.prompt.unsqueeze(0))},
                               {"cond_prompt_speech_emb", {}},
                               {"emotion_adv", value(torch::full({1, 1, 1}, exaggeration))}};
  const TorchValue::Dict gen = {{"prompt_token", value(codes)},
                                {"prompt_token_len", value(torch::tensor({codes.size(1)}))},
                                {"prompt_feat", value(voice.gen.prompt_feat.unsqueeze(0))},
                                {"prompt_feat_len", {}},
                                {"embedding", value(voice.gen.embedding.unsqueeze(0))}};
  write_torch_file(file, {TorchValue::Dict{{"t3", {t3}}, {"gen", {gen}}}});
}

VoiceMaker::VoiceMaker(const fs::path& checkpoint, const Config& config, torch::Device device)
    : checkpoint_(checkpoint), config_(config), device_(device) {
  voice_encoder_ = load_voice_encoder(open_weights(checkpoint, "ve"), device);
  tokenizer_ = load_s3_tokenizer(open_weights(checkpoint, "s3gen"), "tokenizer.",
                                 config.tokenizer_heads, device);
}

// As upstream: the voice encoder hears all of the reference, the prompt is of its first seconds.
Condition VoiceMaker::condition_of(const torch::Tensor& wave16k) {
  const int64_t samples = std::min(wave16k.size(0), kPromptSeconds * kTokenizerRate);
  Condition condition;
  condition.speaker = voice_encoder_->embed({wave16k}).front().to(torch::kCPU);
  condition.prompt =
      tokenizer_->encode({wave16k.narrow(0, 0, samples)}, config_.t3.speech_cond_prompt_len)
          .front()
          .to(torch::kCPU);
  return condition;
}

Condition VoiceMaker::condition(const fs::path& recording) {
  c10::InferenceMode inference;
  const std::vector<float> wave24k = at_rate(decode_audio(recording).audio, kOutputRate);
  return condition_of(tensor_of(resample_soxr(wave24k, kOutputRate, kTokenizerRate), device_));
}

Voice VoiceMaker::make(const fs::path& recording) {
  c10::InferenceMode inference;
  std::vector<float> wave24k = at_rate(decode_audio(recording).audio, kOutputRate);
  if (static_cast<int64_t>(wave24k.size()) < kOutputRate / 2)
    throw DataError("the voice reference is too short", recording.string(),
                    "use 6 to 10 s of clean speech");
  Voice voice;
  voice.t3 = condition_of(tensor_of(resample_soxr(wave24k, kOutputRate, kTokenizerRate), device_));

  wave24k.resize(std::min(wave24k.size(), static_cast<size_t>(kDecoderSeconds * kOutputRate)));
  // Upstream resamples this path with a windowed sinc, so a second signal of 16 kHz exists.
  const torch::Tensor wave16k = tensor_of(
      resample_sinc(wave24k, kOutputRate, kTokenizerRate, KernelPrecision::kDouble), device_);
  if (!speaker_encoder_)
    speaker_encoder_ =
        load_campplus(open_weights(checkpoint_, "s3gen"), "speaker_encoder.", device_);
  const MelExtractor mel(s3_flow_mel_options(kDecoderFmax), device_);
  voice.gen = make_s3_voice(tokenizer_, speaker_encoder_, mel, wave16k, tensor_of(wave24k, device_),
                            S3Alignment::kCutCodes);
  return voice;
}

}  // namespace ttsft::chatterbox
