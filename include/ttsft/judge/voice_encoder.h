// The voice encoder (GE2E, Wan et al. 2018; Resemblyzer's lineage): an LSTM over windows of 1.6 s,
// each window one vector on the unit sphere, a clip the direction of their mean. Upstream:
// chatterbox 0.1.7, models/voice_encoder/{voice_encoder,melspec,config}.py.
#pragma once

#include <torch/torch.h>

#include <memory>
#include <vector>

#include "ttsft/features/mel.h"
#include "ttsft/io/tensor_file.h"
#include "ttsft/nn/linear.h"

namespace ttsft {

inline constexpr int kVoiceRate = 16000;  // Hz, of what it hears

struct VoiceEncoderOptions {
  int64_t mels = 40, hidden = 256, layers = 3, embedding = 256;
};

// Dimensions from the shapes of ve.safetensors. DataError when it is no such file.
VoiceEncoderOptions read_voice_encoder_options(const TensorFile& file);

// torch.nn.LSTM's weights by its names; the last hidden state of the top layer.
class VoiceLstmImpl : public torch::nn::Module {
 public:
  explicit VoiceLstmImpl(const VoiceEncoderOptions& options);
  torch::Tensor forward(const torch::Tensor& x);  // [P, T, mels] -> [P, hidden]

 private:
  int64_t layers_, hidden_;
  std::vector<torch::Tensor> weights_;
};
TORCH_MODULE(VoiceLstm);

class VoiceEncoderImpl : public torch::nn::Module {
 public:
  explicit VoiceEncoderImpl(const VoiceEncoderOptions& options);

  // Clips at 16 kHz, full scale 1, each [N] -> a unit vector [embedding] each, float32, on the
  // encoder's device. Silence at both ends is cut off first. The windows of all clips run together.
  // DataError for a clip that holds hardly any sound.
  std::vector<torch::Tensor> embed(const std::vector<torch::Tensor>& waves);

  torch::Tensor mel(const torch::Tensor& wave) const;  // of the sound, ends cut off: [T, mels]

  // Windows of 160 frames every 77 of a mel [T, mels], zeros behind its end: [P, 160, mels].
  static torch::Tensor windows(const torch::Tensor& mel);
  torch::Tensor forward(const torch::Tensor& windows);  // [P, 160, mels] -> unit vectors [P, E]

 private:
  VoiceLstm lstm{nullptr};
  Linear proj{nullptr};
  std::unique_ptr<MelExtractor> mel_;
};
TORCH_MODULE(VoiceEncoder);

// How many windows cover that many frames: the last one must be real for four fifths.
int64_t voice_windows(int64_t frames);

// Energies, without a logarithm, of 16 kHz speech.
MelOptions voice_mel_options(int64_t mels = 40);

// Strictly from ve.safetensors, in float32.
VoiceEncoder load_voice_encoder(const std::shared_ptr<const TensorFile>& file,
                                torch::Device device);

}  // namespace ttsft
