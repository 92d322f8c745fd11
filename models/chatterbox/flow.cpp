#include "models/chatterbox/flow.h"

#include <algorithm>

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
  options.codes = size("input_embedding.weight", 0, 2);
  options.speaker = size("spk_embed_affine_layer.weight", 1, 2);
  const std::string unet = "decoder.estimator.";
  UNetOptions& o = options.unet;
  o.channels = size(unet + "down_blocks.0.0.block1.block.0.weight", 0, 3);
  o.input = size(unet + "down_blocks.0.0.block1.block.0.weight", 1, 3);
  o.mels = size(unet + "final_proj.weight", 0, 3);
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

FlowModuleImpl::FlowModuleImpl(const FlowOptions& options) {
  const int64_t mels = options.unet.mels;
  input_embedding =
      register_module("input_embedding", Embedding(options.codes, options.encoder.input));
  spk_embed_affine_layer =
      register_module("spk_embed_affine_layer", Linear(options.speaker, mels, true));
  encoder = register_module("encoder", UpsampleEncoder(options.encoder));
  encoder_proj = register_module("encoder_proj", Linear(options.encoder.dim, mels, true));
  auto decoder = register_module("decoder", ModuleGroup());
  estimator = decoder->add("estimator", UNet(options.unet));
}

Flow::Flow(const std::shared_ptr<const TensorFile>& s3gen, int64_t heads, int64_t head_dim,
           torch::Device device)
    : options_(flow_options(*s3gen, heads, head_dim)), device_(device) {
  module_ = FlowModule(options_);
  LoadOptions load;
  load.device = device;
  load.prefix = "flow.";
  load_strict(*module_, s3gen, load);
  module_->eval();
}

void Flow::check(const FlowInput& row) const {
  const auto fail = [](const char* name, const torch::Tensor& given, const std::string& wanted) {
    throw DataError(std::string(name) + " has the shape " + shape_text(given.sizes().vec()) +
                    " instead of " + wanted);
  };
  const int64_t codes = row.codes.numel(), mels = options_.unet.mels;
  if (row.codes.dim() != 1 || codes == 0) fail("codes", row.codes, "[codes]");
  if (row.prompt_feat.dim() != 2 || row.prompt_feat.size(1) != mels ||
      row.prompt_feat.size(0) > options_.encoder.factor * codes) {
    fail("prompt_feat", row.prompt_feat,
         "[frames, " + std::to_string(mels) + "] with at most " +
             std::to_string(options_.encoder.factor) + " frames for each of " +
             std::to_string(codes) + " codes");
  }
  if (row.embedding.numel() != options_.speaker) {
    fail("embedding", row.embedding, "[" + std::to_string(options_.speaker) + "]");
  }
  const std::vector<int64_t> noise{mels, options_.encoder.factor * codes};
  const bool batched = row.z.dim() == 3 && row.z.size(0) == 1;
  if ((batched ? row.z[0] : row.z).sizes() != noise) {
    fail("z", row.z, "[1, " + std::to_string(noise[0]) + ", " + std::to_string(noise[1]) + "]");
  }
  const auto [least, most] = torch::aminmax(row.codes);
  if (least.item<int64_t>() < 0 || most.item<int64_t>() >= options_.codes) {
    throw DataError("speech codes run from " + std::to_string(least.item<int64_t>()) + " to " +
                        std::to_string(most.item<int64_t>()),
                    "", "the table has codes 0 to " + std::to_string(options_.codes - 1));
  }
}

std::vector<torch::Tensor> Flow::inference(std::span<const FlowInput> rows,
                                           const StageProbe& probe) {
  const auto tap = [&](const std::string& stage, const torch::Tensor& result) {
    if (probe) probe(stage, result);
  };
  if (rows.empty()) return {};
  c10::InferenceMode inference_mode;  // a solver that writes into its own input
  const auto batch = static_cast<int64_t>(rows.size());
  const int64_t mels = options_.unet.mels, factor = options_.encoder.factor;
  RowLengths lengths;
  std::vector<torch::Tensor> codes, speakers;
  for (const FlowInput& row : rows) {
    check(row);
    lengths.push_back(row.codes.numel());
    codes.push_back(row.codes.to(torch::kCPU, torch::kInt64));
    speakers.push_back(row.embedding.flatten().to(device_, torch::kFloat32));
  }
  const torch::Tensor ids = torch::nn::utils::rnn::pad_sequence(codes, true).to(device_);
  const int64_t frames = factor * ids.size(1);

  const torch::Tensor embedded = module_->input_embedding(ids);  // [B, T, D]
  const StageProbe encoder_probe = [&](std::string_view stage, const torch::Tensor& result) {
    tap("enc." + std::string(stage), result);
  };
  const torch::Tensor mu = module_->encoder_proj(
      module_->encoder(embedded, lengths, probe ? encoder_probe : StageProbe{}));  // [B, 2T, mels]
  tap("mu", mu);
  const torch::Tensor speaker =
      module_->spk_embed_affine_layer(torch::nn::functional::normalize(torch::stack(speakers)));
  tap("spks", speaker);  // [B, mels]

  // The U-Net's input for rows with and without the condition. Its first channels are rewritten at
  // every step, the others stay.
  torch::Tensor input = torch::zeros({2 * batch, 4 * mels, frames}, mu.options());
  const torch::Tensor conditioned = input.narrow(0, 0, batch);
  conditioned.narrow(1, mels, mels).copy_(mu.transpose(1, 2));
  conditioned.narrow(1, 2 * mels, mels).copy_(speaker.unsqueeze(-1).expand({-1, -1, frames}));
  torch::Tensor x = torch::zeros({batch, mels, frames}, mu.options());
  for (int64_t b = 0; b < batch; ++b) {
    const FlowInput& row = rows[static_cast<size_t>(b)];
    conditioned[b]
        .narrow(0, 3 * mels, mels)
        .narrow(1, 0, row.prompt_feat.size(0))
        .copy_(row.prompt_feat.t());
    x[b].narrow(1, 0, factor * row.codes.numel()).copy_(row.z.dim() == 3 ? row.z[0] : row.z);
  }
  torch::Tensor keys;  // [2B, 1, 1, 2T]
  if (*std::min_element(lengths.begin(), lengths.end()) < ids.size(1)) {
    const torch::Tensor ends = torch::tensor(lengths).mul_(factor).unsqueeze(1);
    keys = (torch::arange(frames).unsqueeze(0) < ends).repeat({2, 1}).to(device_);
    keys = keys.unsqueeze(1).unsqueeze(1);
  }

  const std::vector<FlowStep> steps = flow_steps(options_.steps, FlowSchedule::kCosine);
  UNet& unet = module_->estimator;
  const auto shifts = unet->time_shifts(flow_times(steps, device_), probe);
  const torch::Tensor mel =
      solve_flow(x, steps, options_.guidance, [&](const torch::Tensor& current, size_t step) {
        input.narrow(1, 0, mels).unflatten(0, {2, batch}).copy_(current.expand({2, -1, -1, -1}));
        return unet(input, shifts, static_cast<int64_t>(step), keys,
                    step == 0 ? probe : StageProbe{});
      });
  std::vector<torch::Tensor> results;
  for (int64_t b = 0; b < batch; ++b) {
    const int64_t prompt = rows[static_cast<size_t>(b)].prompt_feat.size(0);
    const int64_t end = factor * lengths[static_cast<size_t>(b)];
    results.push_back(mel[b].narrow(1, prompt, end - prompt));
  }
  return results;
}

torch::Tensor Flow::inference(const torch::Tensor& codes, const torch::Tensor& prompt_feat,
                              const torch::Tensor& embedding, const torch::Tensor& z) {
  const FlowInput row{codes, prompt_feat, embedding, z};
  return inference(std::span(&row, 1)).front().unsqueeze(0);
}

}  // namespace ttsft::chatterbox
