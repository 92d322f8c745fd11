#include "models/voxtral/modules.h"

#include <cmath>

#include "models/voxtral/codec.h"
#include "ttsft/io/safetensors.h"
#include "ttsft/nn/weights.h"

namespace ttsft::voxtral {
namespace {

constexpr double kLongestPeriod = 10000;  // of the time's embedding
constexpr int64_t kFramesAtOnce = 512;    // whose rows are looked up

StackOptions stack_options(const TransformerConfig& c) {
  StackOptions options;
  options.layers = c.layers;
  BlockOptions& block = options.block;
  block.hidden = c.dim;
  block.intermediate = c.hidden;
  block.heads = c.heads;
  block.kv_heads = c.kv_heads;
  block.head_dim = c.head_dim;
  block.norm_eps = c.norm_eps;
  block.names = block_names();
  return options;
}

// Three vectors that all see each other, without positions.
StackOptions flow_options(const FlowConfig& c) {
  StackOptions options = stack_options(c);
  options.rotates = false;
  options.block.causal = false;
  return options;
}

StackOptions backbone_options(const Config& c) {
  StackOptions options = stack_options(c.lm);
  options.rope_theta = c.rope_theta;
  options.rope_layout = RopeLayout::kInterleaved;
  return options;
}

}  // namespace

AcousticTransformerImpl::AcousticTransformerImpl(const Config& c) : codes_(c.codec.semantic_codes) {
  const int64_t dim = c.flow.dim, values = c.codec.acoustic_dim;
  const auto linear = [&](const char* name, int64_t in, int64_t out,
                          LinearRole role = LinearRole::kOther) {
    return register_module(name, Linear(LinearOptions{in, out, false, LinearLayout::kOutIn, role}));
  };
  input_projection = linear("input_projection", values, dim);
  time_projection = linear("time_projection", dim, dim);
  llm_projection = linear("llm_projection", dim, dim);
  semantic_codebook_output =
      linear("semantic_codebook_output", dim, padded_rows(codes_ + kSpecials), LinearRole::kHead);
  acoustic_codebook_output = linear("acoustic_codebook_output", dim, values, LinearRole::kHead);
  stack_ = DecoderStack(flow_options(c.flow));
  register_module("layers", stack_->named_children()["layers"]);
  norm = register_module("norm", RmsNorm(dim, c.flow.norm_eps));
}

torch::Tensor AcousticTransformerImpl::embed_times(const torch::Tensor& times) {
  const torch::Tensor& weight = time_projection->weight;
  const int64_t half = weight.size(1) / 2;
  const torch::Tensor frequency =
      torch::exp(torch::arange(half, times.options()) *
                 (-std::log(kLongestPeriod) / static_cast<double>(half)));
  const torch::Tensor angle = times.unsqueeze(1) * frequency;
  return time_projection(
      torch::cat({torch::cos(angle), torch::sin(angle)}, 1).to(weight.scalar_type()));
}

torch::Tensor AcousticTransformerImpl::velocity(const torch::Tensor& x, const torch::Tensor& time,
                                                const torch::Tensor& state) {
  const torch::Tensor point = input_projection(x.to(state.scalar_type()));
  const torch::Tensor seen = stack_->forward(torch::stack({point, time, state}, 1));  // [N, 3, D]
  return acoustic_codebook_output(norm(seen.select(1, 0))).to(torch::kFloat32);
}

torch::Tensor AcousticTransformerImpl::semantic_rows() const {
  const torch::Tensor rows = semantic_codebook_output->effective_weight();
  return torch::cat({rows.narrow(0, kSpecials, codes_), rows.narrow(0, kEndAudio, 1)});
}

LmImpl::LmImpl(const Config& config) : config_(config) {
  auto embeddings = register_module("mm_audio_embeddings", ModuleGroup());
  tok_embeddings = embeddings->add("tok_embeddings", Table(config.vocab_size, config.lm.dim));
  codebook_embeddings =
      embeddings->add("audio_codebook_embeddings", ModuleGroup())
          ->add("embeddings", Table(padded_rows(config.codebook_rows()), config.lm.dim));
  backbone_ = DecoderStack(backbone_options(config));
  register_module("layers", backbone_->named_children()["layers"]);
  norm = register_module("norm", RmsNorm(config.lm.dim, config.lm.norm_eps));
  acoustic_transformer = register_module("acoustic_transformer", AcousticTransformer(config));
}

void LmImpl::set_activation_checkpointing(bool on) {
  backbone_->set_activation_checkpointing(on);
  acoustic_transformer->stack()->set_activation_checkpointing(on);
}

torch::Tensor LmImpl::frames(const torch::Tensor& tokens) {
  const torch::Tensor flat = table_rows(tokens, config_).flatten(0, -2);  // [N, 37]
  // Some at a time: what is looked up is 37 times what is left of it.
  std::vector<torch::Tensor> sums;
  for (int64_t done = 0; done < flat.size(0) || sums.empty(); done += kFramesAtOnce)
    sums.push_back(codebook_embeddings(flat.slice(0, done, done + kFramesAtOnce)).sum(1));
  std::vector<int64_t> shape = tokens.sizes().vec();
  shape.back() = config_.lm.dim;
  return (sums.size() == 1 ? sums.front() : torch::cat(sums)).view(shape);
}

torch::Tensor tokens_of(const torch::Tensor& codes) {
  return codes.to(torch::kInt64) + kSpecials;
}

torch::Tensor voice_tokens(const torch::Tensor& codes) {
  torch::Tensor end = torch::full({1, codes.size(1)}, kEmptyAudio, torch::kInt64);
  end.select(1, 0).fill_(kEndAudio);
  return torch::cat({tokens_of(codes), end.to(codes.device())});
}

torch::Tensor table_rows(const torch::Tensor& tokens, const Config& config) {
  // config.row_of(), on the device.
  const int64_t entries = config.codec.levels + kSpecials;
  const torch::Tensor book = torch::arange(config.codec.codebooks(), tokens.options());
  return tokens + book * entries + book.clamp_max(1) * (config.row_of(1) - entries);
}

std::shared_ptr<const TensorFile> open_weights(const std::filesystem::path& checkpoint) {
  return std::make_shared<SafetensorsReader>(SafetensorsReader::open(checkpoint / kWeightsFile));
}

Lm load_lm(const std::filesystem::path& checkpoint, const Config& config, torch::Device device,
           torch::Dtype dtype) {
  Lm lm(config);
  load_strict(*lm, open_weights(checkpoint),
              {.device = device,
               .dtype = dtype,
               .skip = {{kCodecPrefix, "the codec"},
                        {"acoustic_transformer.time_embedding.inv_freq",
                         "a table that some copies of the file hold"}}});
  return lm;
}

}  // namespace ttsft::voxtral
