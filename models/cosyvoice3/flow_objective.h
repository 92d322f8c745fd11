// From prepared rows to the loss of the flow: conditional flow matching (Lipman et al. 2023) with a
// random prompt and dropped conditions. Upstream: cosyvoice/flow/{flow,flow_matching}.py,
// specification section 7.4.
//   y = (1 - (1 - s) t) z + t x1, u = x1 - (1 - s) z, s = 1e-6; the estimator at (y, t) predicts u.
#pragma once

#include <torch/torch.h>

#include <span>
#include <string>
#include <vector>

#include "models/cosyvoice3/flow.h"
#include "ttsft/model/draw.h"
#include "ttsft/model/stage.h"

namespace ttsft::cosyvoice3 {

struct FlowSample : Sample {
  torch::Tensor codes;      // [T], int64
  torch::Tensor mel;        // [2T, mels], float32
  torch::Tensor embedding;  // [speaker], of any length
};

// Who hears in chunks: all rows, none, or at random as upstream's training has it.
enum class FlowMask { kRandom, kFull, kStreaming };

struct FlowBatch : Batch {
  torch::Tensor codes;      // [B, T]
  torch::Tensor embedding;  // [B, speaker]
  torch::Tensor mel, z;     // [B, mels, 2T]: what is learned, and noise
  torch::Tensor time;       // [B]
  torch::Tensor keep;       // [B, 1, 1], 0 where the condition is dropped
  torch::Tensor prompt;     // [B, mels, 2T], the first frames of some
  torch::Tensor chunked;    // bool [B]; undefined: no row hears in chunks
  torch::Tensor position;   // [F], flat index of the frames that are real
  torch::Tensor row;        // [F]
  RowLengths lengths;       // in codes

  void each(const std::function<void(torch::Tensor&)>& visit) override;
};

// The draws of an utterance: t [1], z [mels, 2T], keep [1], cond_frames [1].
FlowBatch collate_flow(std::span<const FlowSample* const> samples, const Draw& draw, FlowMask mask);

// chunk: frames of the streaming mask.
std::vector<LossTerm> flow_loss(Flow& flow, const FlowBatch& batch, int64_t chunk);

}  // namespace ttsft::cosyvoice3
