#include "models/chatterbox/mels.h"

#include "models/chatterbox/config.h"

namespace ttsft::chatterbox {

MelOptions decoder_mel_options(int64_t mels) {
  MelOptions options;
  options.stft = {.fft = 1920, .window = 1920, .hop = 480, .pad = (1920 - 480) / 2};
  options.sample_rate = kOutputRate;
  options.bins = mels;
  options.fmax = 8000;
  options.magnitude_epsilon = 1e-9;
  return options;
}

}  // namespace ttsft::chatterbox
