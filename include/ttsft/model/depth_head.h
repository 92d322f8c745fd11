// Frames of several codebooks, one after the other by a small decoder over the levels of a frame
// (RQ-Transformer, Lee et al. 2022): Qwen3-TTS's code predictor, Fish Speech's fast AR.
#pragma once

#include <torch/torch.h>

#include <optional>

#include "ttsft/model/speech_lm.h"

namespace ttsft {

// The network: positions are the levels of one frame, the sequence starts anew with each.
class DepthModel {
 public:
  virtual ~DepthModel() = default;
  virtual int64_t levels() const = 0;      // codes of a frame, the first one included
  virtual int64_t vocabulary() const = 0;  // of the levels behind the first
  virtual KvCache make_cache(int64_t rows) const = 0;
  // What stands before the second code: state [B, D], first [B] -> [B, n, P]
  virtual torch::Tensor start(const torch::Tensor& state, const torch::Tensor& first) = 0;
  // Input behind the code of a level 1, 2, ..: codes [B] -> [B, 1, P]
  virtual torch::Tensor embed(int64_t level, const torch::Tensor& codes) = 0;
  // x [B, n, P] -> the last position behind the norm [B, P]
  virtual torch::Tensor depth(const torch::Tensor& x, KvCache& cache) = 0;
  // Scores of a level 1, 2, ..: [B, P] -> [B, V], float32
  virtual torch::Tensor logits(int64_t level, const torch::Tensor& hidden) = 0;
};

class DepthHead : public FrameHead {
 public:
  DepthHead(DepthModel& model, const SamplingOptions& sampling)
      : model_(model), sampling_(sampling) {}

  // Stream of `noise`: "levels" [levels - 1, V].
  torch::Tensor finish(const torch::Tensor& state, const torch::Tensor& first,
                       const NoiseSource& noise) override;  // [B, levels]

 private:
  DepthModel& model_;
  SamplingOptions sampling_;
  std::optional<KvCache> cache_;  // of the batch before; used again where it has as many rows
};

}  // namespace ttsft
