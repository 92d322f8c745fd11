#include "models/cosyvoice3/modules.h"

#include "ttsft/nn/weights.h"

namespace ttsft::cosyvoice3 {
namespace {

constexpr const char* kBackbone = "model.";
constexpr const char* kPrefix = "llm.model.";  // of it in the file

StackOptions stack_options(const LmConfig& config) {
  StackOptions options;
  options.layers = config.num_hidden_layers;
  options.rope_theta = config.rope_theta;
  options.block.hidden = config.hidden_size;
  options.block.intermediate = config.intermediate_size;
  options.block.heads = config.num_attention_heads;
  options.block.kv_heads = config.num_key_value_heads;
  options.block.head_dim = config.head_dim;
  options.block.norm_eps = config.rms_norm_eps;
  options.block.qkv_bias = true;
  return options;
}

}  // namespace

Qwen2Impl::Qwen2Impl(const LmConfig& config) : DecoderStackImpl(stack_options(config)) {
  embed_tokens = register_module("embed_tokens", Embedding(config.vocab_size, config.hidden_size));
  norm = register_module("norm", RmsNorm(config.hidden_size, config.rms_norm_eps));
}

LmImpl::LmImpl(const LmConfig& config) {
  model = register_module("model", Qwen2(config));
  speech_embedding =
      register_module("speech_embedding", Embedding(config.speech_rows(), config.hidden_size));
  llm_decoder = register_module(
      "llm_decoder", Linear(LinearOptions{config.hidden_size, config.speech_rows(), false,
                                          LinearLayout::kOutIn, LinearRole::kHead}));
}

std::string llm_name(const std::string& parameter) {
  return parameter.starts_with(kBackbone) ? kPrefix + parameter : parameter;
}

Lm load_lm(const std::shared_ptr<const TensorFile>& llm, const LmConfig& config,
           torch::Device device, torch::Dtype dtype) {
  Lm lm(config);
  // The names of the module in place of the file's, one to one, but for the head.
  auto named = std::make_shared<DerivedTensors>(llm);
  const std::string head = std::string(kPrefix) + "lm_head.weight";
  for (TensorView view : llm->tensors()) {
    if (view.name == head) continue;
    if (view.name.starts_with(kPrefix)) view.name = view.name.substr(std::string(kPrefix).size());
    named->keep(view);
  }
  named->finish();
  load_strict(*lm, named, {.device = device, .dtype = dtype});
  return lm;
}

}  // namespace ttsft::cosyvoice3
