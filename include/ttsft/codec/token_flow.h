// Conditional flow matching from speech codes to mel frames, as CosyVoice and Chatterbox do it:
// what conditions the flow, its guidance, its solver. Upstream:
// cosyvoice/flow/{flow,flow_matching}.py, chatterbox/models/s3gen/{flow,flow_matching}.py.
//   codes -> input_embedding -> the model's encoder = mu
//   noise -> Euler steps of the model's estimator, which sees mu, the speaker and the prompt -> mel
// Nothing here turns gradients off: entry points do (AcousticDecoder::decode).
#pragma once

#include <torch/torch.h>

#include <span>
#include <string>
#include <vector>

#include "ttsft/nn/flow_matching.h"
#include "ttsft/nn/layers.h"
#include "ttsft/nn/linear.h"
#include "ttsft/nn/probe.h"
#include "ttsft/nn/rows.h"

namespace ttsft {

struct TokenFlowOptions {
  int64_t codes = 0;            // rows of input_embedding
  int64_t width = 0;            // of input_embedding
  int64_t speaker = 0;          // width of a speaker's vector
  int64_t mels = 0;             //
  int64_t frames_per_code = 2;  // of the mel
  int64_t steps = 10;
  double guidance = 0.7;  // 0: rows without the condition do not run
  FlowSchedule schedule = FlowSchedule::kCosine;
};

// What an estimator knows of the sample that it moves towards.
struct FlowConditions {
  torch::Tensor mu;       // [B, mels, T], of the codes
  torch::Tensor speaker;  // [B, mels]
  torch::Tensor prompt;   // [B, mels, T], the frames that are given; 0 behind them
  torch::Tensor real;     // bool [B, T], true before a row's end; undefined: all rows are full
  // Frames of a chunk, where a frame hears its own chunk and those before it; 0: all of them.
  int64_t chunk = 0;
  torch::Tensor chunked;  // bool [B], the rows that hear so; undefined: all

  // 2B rows: these, then the same without mu, speaker and prompt.
  FlowConditions with_unconditioned() const;
};

// The network of a flow: dx/dt of x at a time between 0 (noise) and 1 (mel).
class FlowEstimator {
 public:
  virtual ~FlowEstimator() = default;

  // What depends on the time alone, for all steps of a solver or all rows of a training batch at
  // once. times [N] -> tensors [N, ..].
  virtual std::vector<torch::Tensor> embed_times(const torch::Tensor& times,
                                                 const StageProbe& probe = {}) = 0;

  // x [B, mels, T] -> velocities [B, mels, T]. time: rows of embed_times(), one for each row or one
  // for all. Rows come out as each would alone; behind their ends lie arbitrary finite numbers.
  virtual torch::Tensor velocity(const torch::Tensor& x, const std::vector<torch::Tensor>& time,
                                 const FlowConditions& given, const StageProbe& probe = {}) = 0;
};

// How far rows reach. Where both are set, what is spoken before the last chunk's end does not change
// when more codes follow.
struct FlowReach {
  int64_t chunk = 0;  // as FlowConditions::chunk
  // The last codes of each row are heard by those before and not spoken, in place of silence: no
  // less than the encoder sees ahead.
  int64_t ahead = 0;
};

// One utterance.
struct FlowRow {
  torch::Tensor codes;        // [T] int64: the prompt's codes, then the ones to speak
  torch::Tensor prompt_feat;  // [F, mels]: log-mel of the prompt, F <= frames_per_code T
  torch::Tensor embedding;    // [speaker]: of any length, which is taken to 1
  torch::Tensor z;            // [mels, frames_per_code (T - ahead)], or with a 1 in front: noise
};

// The parts that all of these flows have: input_embedding and spk_embed_affine_layer. A model's own
// module derives from this and registers its encoder and its estimator.
class TokenFlowImpl : public torch::nn::Module {
 public:
  explicit TokenFlowImpl(const TokenFlowOptions& options);

  // The same for padded rows that are on the device: codes [B, T], int64, and how many each has;
  // speakers [B, speaker], of any length; prompts [B, mels, frames_per_code T], 0 behind them.
  FlowConditions conditions(const torch::Tensor& codes, const RowLengths& lengths,
                            const torch::Tensor& speakers, const torch::Tensor& prompts,
                            const StageProbe& probe = {}, const FlowReach& reach = {});

  // What the rows condition a velocity on; z is not read. DataError: codes outside the table,
  // tensors of a wrong shape. Stages: those of the encoder, mu [B, T, mels], spks [B, mels].
  FlowConditions conditions(std::span<const FlowRow> rows, const StageProbe& probe = {},
                            const FlowReach& reach = {});

  // Mel frames behind the prompt's, each [mels, frames_per_code (T - ahead) - F]. Rows of unequal length run
  // in one batch and come out as each would alone. DataError as conditions(), and for a wrong z.
  // Stages: those of conditions(), of embed_times() and of the first step's velocity(), rows with
  // the condition first.
  std::vector<torch::Tensor> forward(std::span<const FlowRow> rows, const StageProbe& probe = {},
                                     const FlowReach& reach = {});

  virtual FlowEstimator& network() = 0;
  const TokenFlowOptions& options() const { return options_; }

 protected:
  // Embedded codes [B, T, width], zero behind the rows' ends -> [B, frames_per_code T, mels], each
  // row as it would come out alone.
  virtual torch::Tensor encode(const torch::Tensor& embedded, const RowLengths& lengths,
                               const StageProbe& probe) = 0;

 private:
  void check(const FlowRow& row) const;

  TokenFlowOptions options_;
  Embedding input_embedding{nullptr};
  Linear spk_embed_affine_layer{nullptr};
};

}  // namespace ttsft
