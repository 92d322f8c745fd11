#include "ttsft/codec/s3_voice.h"

#include <algorithm>

namespace ttsft {

void align_s3_voice(S3Voice& voice, S3Alignment alignment) {
  const int64_t codes =
      std::min(voice.prompt_token.size(0), voice.prompt_feat.size(0) / kS3FramesPerCode);
  voice.prompt_token = voice.prompt_token.narrow(0, 0, codes).contiguous();
  if (alignment == S3Alignment::kCutCodes) return;
  voice.prompt_feat = voice.prompt_feat.narrow(0, 0, kS3FramesPerCode * codes).contiguous();
}

MelOptions s3_flow_mel_options(double fmax, int64_t mels) {
  MelOptions options;
  options.stft = {.fft = 1920, .window = 1920, .hop = 480, .pad = (1920 - 480) / 2};
  options.sample_rate = kS3FlowRate;
  options.bins = mels;
  options.fmax = fmax;
  options.magnitude_epsilon = 1e-9;
  return options;
}

S3Voice make_s3_voice(S3Tokenizer& tokenizer, Campplus& speaker, const MelExtractor& mel,
                      const torch::Tensor& wave16k, const torch::Tensor& wave24k,
                      S3Alignment alignment) {
  S3Voice voice;
  voice.embedding = speaker->embed({wave16k}).front().to(torch::kCPU);
  voice.prompt_feat = mel(wave24k).to(torch::kCPU).contiguous();
  voice.prompt_token = tokenizer->encode({wave16k}).front().to(torch::kCPU);
  align_s3_voice(voice, alignment);
  return voice;
}

}  // namespace ttsft
