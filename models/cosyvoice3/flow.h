// CosyVoice 3's flow: speech codes -> mel frames, two per code, by conditional flow matching.
// Upstream: cosyvoice/flow/{flow,flow_matching}.py (CausalMaskedDiffWithDiT).
//   codes -> input_embedding -> look-ahead of three codes -> each twice = mu
//   noise -> 10 Euler steps of the DiT, guided -> mel
#pragma once

#include <torch/torch.h>

#include <memory>

#include "models/cosyvoice3/dit.h"
#include "ttsft/codec/pre_lookahead.h"
#include "ttsft/codec/token_flow.h"

namespace ttsft::cosyvoice3 {

struct FlowOptions {
  TokenFlowOptions tokens;
  PreLookaheadOptions lookahead;
  DitOptions dit;
};

// From the shapes in flow.pt.
FlowOptions flow_options(const TensorFile& flow);

// Everything in flow.pt. Stages: prelookahead [B, T, width] and those of TokenFlow and Dit.
class FlowImpl : public TokenFlowImpl {
 public:
  explicit FlowImpl(const FlowOptions& options);
  FlowEstimator& network() override { return *estimator_; }
  int64_t codes_ahead() const { return codes_ahead_; }  // that a code hears: 3

 protected:
  torch::Tensor encode(const torch::Tensor& embedded, const RowLengths& lengths,
                       const StageProbe& probe) override;

 private:
  int64_t codes_ahead_;
  PreLookahead pre_lookahead_layer{nullptr};
  Dit estimator_{nullptr};  // decoder.estimator
};
TORCH_MODULE(Flow);

// dropout: of the DiT, while training. `epoch` and `step`, which upstream's trainer leaves in a
// file, are no tensors and not seen here.
Flow load_flow(const std::shared_ptr<const TensorFile>& flow, double dropout, torch::Device device,
               torch::Dtype dtype = torch::kFloat32);

}  // namespace ttsft::cosyvoice3
