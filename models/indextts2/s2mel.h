// From semantic codes to a mel spectrogram: vectors of the codes and states of the GPT, stretched
// to the mel's frame rate, condition a flow that continues the prompt's mel. Source: index-tts
// v2.0.0, indextts/s2mel/modules/{length_regulator,flow_matching,commons}.py and infer_v2.py
// (specification section 10, items 6 to 8).
#pragma once

#include <torch/torch.h>

#include <memory>
#include <vector>

#include "models/indextts2/dit.h"
#include "ttsft/nn/flow_matching.h"

namespace ttsft::indextts2 {

// Mel frames that the codes become: upstream's 1.72 for each, times a factor of the user's.
int64_t mel_frames(int64_t codes, double duration_factor = 1.0);

// Nearest neighbours in time between convolutions with group norms over the whole sequence. Names:
// content_in_proj, model.N.
class LengthRegulatorImpl : public torch::nn::Module {
 public:
  explicit LengthRegulatorImpl(const S2MelConfig& config);
  torch::Tensor forward(const torch::Tensor& x, int64_t frames);  // [n, in] -> [frames, C]

 private:
  struct Stage {
    Conv1d conv;
    torch::Tensor scale, shift;  // of the group norm
  };
  Linear content_in_proj{nullptr};
  std::vector<Stage> stages_;
  Conv1d last_{nullptr};
};
TORCH_MODULE(LengthRegulator);

// What the voice's recording contributes.
struct MelPrompt {
  torch::Tensor mel;        // [mels, M]
  torch::Tensor condition;  // [M, C], of LengthRegulator
  torch::Tensor style;      // [S], of CAMPPlus
};

struct FlowOptions {
  int64_t steps = 25;
  double guidance = 0.7;
};

class S2Mel {
 public:
  // s2mel.pth; the GPT's width and that of the codes' vectors must fit its gpt_layer. DataError
  // otherwise. float32.
  S2Mel(const Config& config, torch::Device device);

  // Vectors of a recording or of codes, [n, in], to `frames` mel frames [frames, C].
  torch::Tensor regulate(const torch::Tensor& vectors, int64_t frames);
  // States of the GPT's second pass [n, D] to what is added to the codes' vectors [n, in].
  torch::Tensor from_latents(torch::Tensor latents);

  // Solves the flow over prompt and target of several rows at once, each as if alone. conditions
  // [T, C], noise [mels, M + T] -> the target's frames [mels, T].
  std::vector<torch::Tensor> mels(const MelPrompt& prompt,
                                  const std::vector<torch::Tensor>& conditions,
                                  const std::vector<torch::Tensor>& noise,
                                  const FlowOptions& options);

  Dit& estimator() { return estimator_; }

 private:
  Dit estimator_{nullptr};
  LengthRegulator regulator_{nullptr};
  std::vector<Linear> gpt_layer_;
};

}  // namespace ttsft::indextts2
