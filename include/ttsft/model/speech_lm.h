// What a model must say so that the decoding core (model/frame_decoder.h) can speak with its
// language model. The core owns the loop, the caches, the choice of tokens and the draws.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "ttsft/nn/kv_cache.h"
#include "ttsft/nn/noise.h"
#include "ttsft/nn/sampling.h"
#include "ttsft/nn/token_rules.h"

namespace ttsft {

// What stands before the first frame of a text.
struct RowPrompt {
  torch::Tensor inputs;    // [T, D]
  torch::Tensor unguided;  // [T', D]: of the row that guidance is measured against
  // Added to the inputs of the frames behind the prompt: row g to that behind frame g, the last one
  // to all further ones. Undefined: nothing. [R, D]
  torch::Tensor trailing;
  uint64_t seed = 0;  // of the text's draws
  int64_t at_least = 0;  // frames before it may end, where the plan has a rule for it
  int64_t at_most = std::numeric_limits<int64_t>::max();  // frames, if the plan allows more
};

// How tokens are chosen.
struct DecodingPlan {
  SamplingOptions sampling;
  std::optional<RepetitionAware> aware;
  TokenRules rules;               // applied in order, to log-probabilities where beams are searched
  std::vector<int64_t> end;       // tokens that end a row
  std::vector<int64_t> said;      // tokens that count as said before the first one
  int64_t max_frames = 2048;
  int64_t beams = 1;              // above 1: one end token, no head, no guidance
  double length_penalty = 0.0;    // of beams
  double guidance = 0.0;          // logits + guidance * (logits - those of the unguided row)
};

// Completes a frame whose first code the language model has chosen: a depth-wise decoder, or flow
// matching.
class FrameHead {
 public:
  virtual ~FrameHead() = default;
  // state [B, D], as logits() gets it; first [B] -> [B, C], int64, the first one included.
  virtual torch::Tensor finish(const torch::Tensor& state, const torch::Tensor& first,
                               const NoiseSource& noise) = 0;
};

class SpeechLm {
 public:
  virtual ~SpeechLm() = default;

  // capacity: positions to begin with
  virtual KvCache make_cache(int64_t rows, int64_t capacity) const = 0;
  // New positions behind those in the cache: x [R, T, D] -> [R, T, D], up to but without the norm.
  virtual torch::Tensor forward(const torch::Tensor& x, KvCache& cache) = 0;
  virtual torch::Tensor norm(const torch::Tensor& hidden) = 0;   // [R, D] -> [R, D]
  virtual torch::Tensor logits(const torch::Tensor& state) = 0;  // [R, D] -> [R, V], float32
  // The input behind frame `number` [R], counted from 0: [R, C] -> [R, D]. Rows that have ended are
  // asked for too, with any codes; their numbers grow no further than the limit.
  virtual torch::Tensor embed(const torch::Tensor& frame, const torch::Tensor& number) = 0;
  virtual FrameHead* head() { return nullptr; }
  // Frames that the model has places for.
  virtual int64_t most_frames() const { return std::numeric_limits<int64_t>::max(); }
};

}  // namespace ttsft
