// The backbone as the decoding core knows it, and the flow that completes a frame. Its tokens are
// the semantic codes under their own numbers, and behind them the end. Upstream: vllm-omni,
// voxtral_tts_audio_generation.py.
#pragma once

#include <torch/torch.h>

#include "models/voxtral/modules.h"
#include "models/voxtral/text.h"
#include "ttsft/model/acoustic.h"
#include "ttsft/model/speech_lm.h"
#include "ttsft/nn/flow_matching.h"
#include "ttsft/nn/probe.h"

namespace ttsft::voxtral {

struct FlowSolver {
  int64_t steps = 7;   // of Euler
  double alpha = 1.2;  // v = alpha v(x, t, h) + (1 - alpha) v(x, t, 0)
};

// The name of the noise that --noise records, [frames, 36].
inline constexpr const char* kNoise = "noise";

class FlowHead : public FrameHead {
 public:
  FlowHead(AcousticTransformer flow, const Config& config, const FlowSolver& solver);

  // Noise to the 36 values of a frame, before they are clamped: x [N, 36], states behind the norm
  // [N, D]. Both rows of guidance run together; what depends on the time alone is computed once.
  torch::Tensor solve(torch::Tensor x, const torch::Tensor& states, const StageProbe& probe = {});

  // Stream of `noise`: "noise" [36], normal.
  torch::Tensor finish(const torch::Tensor& state, const torch::Tensor& first,
                       const NoiseSource& noise) override;  // [B, 37]

 private:
  AcousticTransformer flow_;
  CodecConfig codec_;
  double noise_scale_, alpha_;
  std::vector<FlowStep> steps_;
  torch::Tensor times_;  // [steps, D], embedded
};

class SpeechModel : public SpeechLm {
 public:
  SpeechModel(Lm lm, const FlowSolver& solver, torch::TensorOptions options);

  // Of a prompt whose voice rows are [N, D]. UsageError: the model has no place for it.
  RowPrompt prompt(const Prompt& prompt, const torch::Tensor& voice,
                   const std::vector<int64_t>& text, const std::string& segment);

  KvCache make_cache(int64_t rows, int64_t capacity) const override;
  torch::Tensor forward(const torch::Tensor& x, KvCache& cache) override;
  torch::Tensor norm(const torch::Tensor& hidden) override { return lm_->norm(hidden); }
  torch::Tensor logits(const torch::Tensor& state) override;
  torch::Tensor embed(const torch::Tensor& frame, const torch::Tensor& number) override;
  FrameHead* head() override { return &head_; }

  Lm& lm() { return lm_; }

 private:
  Lm lm_;
  torch::TensorOptions options_;
  torch::Tensor head_rows_;  // [codes + 1, D], float32
  FlowHead head_;
};

}  // namespace ttsft::voxtral
