#include "models/chatterbox/flow.h"

#include "ttsft/core/error.h"
#include "ttsft/io/tensor_shapes.h"
#include "ttsft/nn/weights.h"

namespace ttsft::chatterbox {

FlowOptions flow_options(const TensorFile& s3gen, int64_t heads, int64_t head_dim) {
  const auto size = [&](const std::string& name, size_t axis, size_t dimensions) {
    return shape_of(s3gen, "flow." + name, dimensions)[axis];
  };
  const auto blocks = [&](const std::string& stage) {
    return count_tensors(s3gen, "flow.decoder.estimator." + stage + ".1.", ".norm1.weight");
  };
  FlowOptions options;
  options.encoder = upsample_encoder_options(s3gen, "flow.encoder.");
  TokenFlowOptions& tokens = options.tokens;
  tokens.codes = size("input_embedding.weight", 0, 2);
  tokens.width = options.encoder.input;
  tokens.speaker = size("spk_embed_affine_layer.weight", 1, 2);
  tokens.frames_per_code = options.encoder.factor;
  const std::string unet = "decoder.estimator.";
  UNetOptions& o = options.unet;
  o.channels = size(unet + "down_blocks.0.0.block1.block.0.weight", 0, 3);
  o.input = size(unet + "down_blocks.0.0.block1.block.0.weight", 1, 3);
  o.mels = size(unet + "final_proj.weight", 0, 3);
  tokens.mels = o.mels;
  o.time = size(unet + "time_mlp.linear_1.weight", 0, 2);
  o.ffn = size(unet + "down_blocks.0.1.0.ff.net.0.proj.weight", 0, 2);
  o.down_depth = blocks("down_blocks.0");
  o.mid_depth = blocks("mid_blocks.0");
  o.up_depth = blocks("up_blocks.0");
  o.mid_stages = count_tensors(s3gen, "flow." + unet + "mid_blocks.", ".0.res_conv.weight");
  o.heads = heads;
  o.head_dim = head_dim;
  const auto fail = [&](const std::string& what, const std::string& remedy) {
    throw DataError("flow.decoder.estimator " + what, s3gen.path().string(), remedy);
  };
  const int64_t inner = size(unet + "down_blocks.0.1.0.attn1.to_q.weight", 0, 2);
  if (inner != heads * head_dim) {
    fail("attends with a width of " + std::to_string(inner) + ", which is not " +
             std::to_string(heads) + " heads of " + std::to_string(head_dim),
         "state s3gen.decoder.num_heads and attention_head_dim in ttsft_dims.json");
  }
  if (o.input != 4 * o.mels) {
    fail("takes " + std::to_string(o.input) + " channels, not four times its " +
             std::to_string(o.mels) + " mel bands",
         "this is not the S3Gen of the English release");
  }
  return options;
}

FlowImpl::FlowImpl(const FlowOptions& options) : TokenFlowImpl(options.tokens) {
  encoder = register_module("encoder", UpsampleEncoder(options.encoder));
  encoder_proj =
      register_module("encoder_proj", Linear(options.encoder.dim, options.tokens.mels, true));
  auto decoder = register_module("decoder", ModuleGroup());
  estimator_ = decoder->add("estimator", UNet(options.unet));
}

torch::Tensor FlowImpl::encode(const torch::Tensor& embedded, const RowLengths& lengths,
                               const StageProbe& probe) {
  const StageProbe renamed = [&](std::string_view stage, const torch::Tensor& result) {
    probe("enc." + std::string(stage), result);
  };
  return encoder_proj(encoder(embedded, lengths, probe ? renamed : StageProbe{}));
}

Flow load_flow(const std::shared_ptr<const TensorFile>& s3gen, int64_t heads, int64_t head_dim,
               torch::Device device) {
  Flow flow(flow_options(*s3gen, heads, head_dim));
  load_strict(*flow, s3gen, {.device = device, .prefix = "flow."});
  flow->eval();
  return flow;
}

}  // namespace ttsft::chatterbox
