// Where somebody speaks: Silero VAD, which tells for every 32 ms how likely speech is. Run on our
// own blocks, since runtimes that carry it hand out finished stretches, and a cut needs to know how
// sure each pause is.
// Source: silero-vad 6.2.3 (MIT), the network of
// silero_vad_16k_op15.onnx (the wheel's safetensors file is of an older version) and utils_vad.py
// (hysteresis).
#pragma once

#include <torch/torch.h>

#include <filesystem>
#include <span>
#include <utility>
#include <vector>

#include "ttsft/nn/conv.h"

namespace ttsft {

inline constexpr int kVoiceActivityRate = 16000;  // Hz
inline constexpr int kVoiceActivityWindow = 512;  // samples that one probability stands for

// torch.nn.LSTMCell's weights by its names, run over whole sequences.
class LstmCellImpl : public torch::nn::Module {
 public:
  LstmCellImpl(int64_t in, int64_t hidden);
  // x [1, T, in] -> [1, T, hidden]; state (h, c), each [1, 1, hidden], goes on.
  torch::Tensor forward(const torch::Tensor& x, std::pair<torch::Tensor, torch::Tensor>& state);

 private:
  torch::Tensor weight_ih, weight_hh, bias_ih, bias_hh;
};
TORCH_MODULE(LstmCell);

class SileroVadImpl : public torch::nn::Module {
 public:
  SileroVadImpl();
  // Speech at 16 kHz, full scale 1 -> a probability for each window of 512 samples, the last one
  // with zeros behind its end. One hour takes seconds.
  std::vector<float> probabilities(std::span<const float> samples);

 private:
  torch::Tensor encode(const torch::Tensor& windows);  // [T, 576] -> [T, 128]

  torch::Tensor forward_basis_buffer;  // [2 bins, 1, 256]
  std::vector<Conv1d> encoder_;
  LstmCell rnn{nullptr};
  Conv1d output_{nullptr};
};
TORCH_MODULE(SileroVad);

// silero_vad_16k_op15.onnx, strictly, on the CPU.
SileroVad load_silero_vad(const std::filesystem::path& file);

struct VoiceActivityOptions {
  double threshold = 0.5;       // speech begins at this probability
  double end_threshold = 0.35;  // and ends below this one
  double least_silence = 0.1;   // seconds; shorter pauses are part of the speech
  double least_speech = 0.25;   // seconds; shorter speech is none
};

struct SpeechSpan {
  double begin = 0, end = 0;  // seconds
  double seconds() const { return end - begin; }
};

// upstream's get_speech_timestamps without padding, in order; ends within `seconds`, the length of
// the recording.
std::vector<SpeechSpan> speech_spans(std::span<const float> probabilities, double seconds,
                                     const VoiceActivityOptions& options = {});

}  // namespace ttsft
