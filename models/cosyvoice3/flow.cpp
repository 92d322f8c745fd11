#include "models/cosyvoice3/flow.h"

#include "ttsft/core/error.h"
#include "ttsft/io/tensor_shapes.h"
#include "ttsft/nn/weights.h"

namespace ttsft::cosyvoice3 {

FlowOptions flow_options(const TensorFile& flow) {
  FlowOptions options;
  options.dit = dit_options(flow, "decoder.estimator.");
  options.lookahead = pre_lookahead_options(flow, "pre_lookahead_layer.");
  TokenFlowOptions& tokens = options.tokens;
  const Shape table = shape_of(flow, "input_embedding.weight", 2);
  const Shape speaker = shape_of(flow, "spk_embed_affine_layer.weight", 2);
  tokens.codes = table[0];
  tokens.width = table[1];
  tokens.speaker = speaker[1];
  tokens.mels = speaker[0];
  if (tokens.mels != options.dit.mels || tokens.width != tokens.mels ||
      options.lookahead.dim != tokens.width)
    throw DataError("the flow's parts speak of " + std::to_string(tokens.width) + ", " +
                        std::to_string(options.lookahead.dim) + ", " + std::to_string(tokens.mels) +
                        " and " + std::to_string(options.dit.mels) + " mel bands",
                    flow.path().string(), "is this the flow.pt of CosyVoice 3?");
  return options;
}

FlowImpl::FlowImpl(const FlowOptions& options)
    : TokenFlowImpl(options.tokens), codes_ahead_(options.lookahead.lookahead) {
  pre_lookahead_layer = register_module("pre_lookahead_layer", PreLookahead(options.lookahead));
  estimator_ = register_module("decoder", ModuleGroup())->add("estimator", Dit(options.dit));
}

torch::Tensor FlowImpl::encode(const torch::Tensor& embedded, const RowLengths& /*lengths*/,
                               const StageProbe& probe) {
  const torch::Tensor h = pre_lookahead_layer(embedded);
  if (probe) probe("prelookahead", h);
  return h.repeat_interleave(options().frames_per_code, 1);
}

Flow load_flow(const std::shared_ptr<const TensorFile>& file, double dropout, torch::Device device,
               torch::Dtype dtype) {
  FlowOptions options = flow_options(*file);
  options.dit.dropout = dropout;
  Flow flow(options);
  load_strict(*flow, file, {.device = device, .dtype = dtype});
  flow->eval();
  return flow;
}

}  // namespace ttsft::cosyvoice3
