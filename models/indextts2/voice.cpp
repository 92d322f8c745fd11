#include "models/indextts2/voice.h"

#include <algorithm>
#include <numeric>

#include "models/indextts2/emotion.h"
#include "models/indextts2/w2v_bert.h"
#include "models/indextts2/weights.h"
#include "ttsft/audio/audio.h"
#include "ttsft/audio/sinc_resample.h"
#include "ttsft/codec/campplus.h"
#include "ttsft/core/error.h"
#include "ttsft/core/log.h"
#include "ttsft/features/mel.h"
#include "ttsft/io/torch_file.h"

namespace ttsft::indextts2 {
namespace {

constexpr int kEncoderRate = 16000;
constexpr int64_t kPromptSeconds = 15;
constexpr double kLoudestShares = 0.8;  // sum of an emotion vector that upstream's web page allows

std::vector<float> prompt_samples(const std::filesystem::path& file, int rate) {
  std::vector<float> samples = at_rate(decode_audio(file).audio, rate);
  samples.resize(std::min(samples.size(), static_cast<size_t>(kPromptSeconds * rate)));
  return samples;
}

}  // namespace

torch::Tensor load_prompt(const std::filesystem::path& file, int rate) {
  return torch::tensor(prompt_samples(file, rate));
}

torch::Tensor prompt_mel(const torch::Tensor& wave, const MelConfig& config) {
  MelOptions options;
  options.stft.fft = config.n_fft;
  options.stft.window = config.win_length;
  options.stft.hop = config.hop_length;
  options.stft.pad = (config.n_fft - config.hop_length) / 2;
  options.sample_rate = config.sample_rate;
  options.bins = config.n_mels;
  options.fmin = config.fmin;
  options.fmax = config.fmax;
  options.magnitude_epsilon = 1e-9;
  return MelExtractor(options, wave.device())(wave).t().contiguous();
}

Voice make_voice(const Config& config, const Options& options,
                 const std::filesystem::path& recording, uint64_t seed, RepCodec& codec,
                 S2Mel& s2mel, torch::Device device) {
  const int rate = static_cast<int>(config.s2mel.mel.sample_rate);
  const std::vector<float> samples = prompt_samples(recording, rate);
  const torch::Tensor wave = torch::tensor(samples);
  const torch::Tensor wave16k =
      torch::tensor(resample_sinc(samples, rate, kEncoderRate, KernelPrecision::kDouble));
  const bool by_vector = !options.emotion_vector.empty();
  const bool by_recording = !by_vector && !options.emotion_reference.empty();
  // Upstream loads the voice once more for its emotion, straight to 16 kHz.
  const torch::Tensor emotion_wave =
      load_prompt(by_recording ? options.emotion_reference : recording, kEncoderRate);

  SpeechEncoder encoder(locate(config, Auxiliary::kW2vBert), config.w2v_stats, device);
  std::vector<SpeechFeatures> features;
  try {
    features = encoder.encode({wave16k, emotion_wave});
  } catch (const DataError& error) {
    throw DataError(error.what(), recording.string(), "3 to 8 s of clean speech are best");
  }
  const torch::Tensor speech = features[0].frames;
  Conditioner conditioner = load_conditioner(open_gpt(config.gpt_file), config.gpt, device);
  Campplus speaker =
      load_campplus(open_tensor_file(locate(config, Auxiliary::kCampplus)), "", device);

  Voice voice;
  voice.condition = conditioner->condition(speech.unsqueeze(0))[0];
  const torch::Tensor own = conditioner->emotion(speech.unsqueeze(0))[0];
  const torch::Tensor heard = conditioner->emotion(features[1].frames.unsqueeze(0))[0];
  voice.emotion = blend_emotions(own, heard, by_recording ? options.emotion_alpha : 1.0);
  voice.mel.mel = prompt_mel(wave.to(device), config.s2mel.mel);
  voice.mel.style = speaker->embed({wave16k.to(device)}).front();
  voice.mel.condition =
      s2mel.regulate(codec->quantize({speech}).front().vectors, voice.mel.mel.size(1));
  if (by_vector) {
    const auto shares = scale_shares(options.emotion_vector, options.emotion_alpha);
    const double sum = std::accumulate(shares.begin(), shares.end(), 0.0);
    if (sum > kLoudestShares + 1e-9)
      log_warning("indextts2.emotion_vector adds up to ", sum, "; above ", kLoudestShares,
                  " little of the voice's own way is left");
    const EmotionExamples examples(config, device);
    const auto rows =
        options.emotion_random ? examples.random(seed) : examples.nearest(voice.mel.style);
    voice.emotion = examples.mix(shares, rows, voice.emotion);
  }
  return voice;
}

}  // namespace ttsft::indextts2
