#include "models/qwen3_tts/modules.h"

namespace ttsft::qwen3_tts {
namespace {

StackOptions stack_options(const DecoderConfig& config) {
  StackOptions options;
  options.layers = config.num_hidden_layers;
  options.rope_theta = config.rope_theta;
  options.block.hidden = config.hidden_size;
  options.block.intermediate = config.intermediate_size;
  options.block.heads = config.num_attention_heads;
  options.block.kv_heads = config.num_key_value_heads;
  options.block.head_dim = config.head_dim;
  options.block.norm_eps = config.rms_norm_eps;
  options.block.qk_norm = QkNorm::kPerHead;
  return options;
}

Linear head(int64_t in, int64_t out) {
  return Linear(LinearOptions{in, out, false, LinearLayout::kOutIn, LinearRole::kHead});
}

}  // namespace

TalkerModelImpl::TalkerModelImpl(const TalkerConfig& config)
    : DecoderStackImpl(stack_options(config)) {
  text_embedding =
      register_module("text_embedding", Embedding(config.text_vocab_size, config.text_hidden_size));
  codec_embedding =
      register_module("codec_embedding", Embedding(config.vocab_size, config.hidden_size));
  norm = register_module("norm", RmsNorm(config.hidden_size, config.rms_norm_eps));
}

TextProjectionImpl::TextProjectionImpl(const TalkerConfig& config) {
  linear_fc1 =
      register_module("linear_fc1", Linear(config.text_hidden_size, config.text_hidden_size, true));
  linear_fc2 =
      register_module("linear_fc2", Linear(config.text_hidden_size, config.hidden_size, true));
}

CodePredictorModelImpl::CodePredictorModelImpl(const TalkerConfig& config)
    : DecoderStackImpl(stack_options(config.code_predictor)) {
  torch::nn::ModuleList tables;
  for (int64_t i = 1; i < config.num_code_groups; ++i) {
    codec_embedding.emplace_back(config.code_predictor.vocab_size, config.hidden_size);
    tables->push_back(codec_embedding.back());
  }
  register_module("codec_embedding", tables);
  norm = register_module(
      "norm", RmsNorm(config.code_predictor.hidden_size, config.code_predictor.rms_norm_eps));
}

CodePredictorImpl::CodePredictorImpl(const TalkerConfig& config) {
  const DecoderConfig& own = config.code_predictor;
  model = register_module("model", CodePredictorModel(config));
  if (own.hidden_size != config.hidden_size)
    small_to_mtp_projection = register_module("small_to_mtp_projection",
                                              Linear(config.hidden_size, own.hidden_size, true));
  torch::nn::ModuleList heads;
  for (int64_t i = 1; i < config.num_code_groups; ++i) {
    lm_head.push_back(head(own.hidden_size, own.vocab_size));
    heads->push_back(lm_head.back());
  }
  register_module("lm_head", heads);
}

TalkerImpl::TalkerImpl(const TalkerConfig& config) {
  model = register_module("model", TalkerModel(config));
  text_projection = register_module("text_projection", TextProjection(config));
  codec_head = register_module("codec_head", head(config.hidden_size, config.vocab_size));
  code_predictor = register_module("code_predictor", CodePredictor(config));
}

torch::Tensor TalkerImpl::frames(const torch::Tensor& codes) {
  torch::Tensor sum = codec(codes.select(1, 0));
  auto& tables = code_predictor->model->codec_embedding;
  for (size_t i = 0; i < tables.size(); ++i)
    sum = sum + tables[i](codes.select(1, static_cast<int64_t>(i) + 1));
  return sum;
}

torch::Tensor TalkerImpl::predictor_hidden(const torch::Tensor& hidden,
                                           const torch::Tensor& codes) {
  auto& tables = code_predictor->model->codec_embedding;
  std::vector<torch::Tensor> inputs = {hidden, codec(codes.select(1, 0))};
  for (size_t j = 2; j < tables.size() + 1; ++j)  // c15 is a target only
    inputs.push_back(tables[j - 2](codes.select(1, static_cast<int64_t>(j) - 1)));
  torch::Tensor x = code_predictor->project(torch::stack(inputs, 1));  // [N, 16, P]
  x = code_predictor->model->forward(x);  // positions restart at 0 for every frame
  return code_predictor->model->norm(x.narrow(1, 1, x.size(1) - 1));  // index 0 predicts nothing
}

}  // namespace ttsft::qwen3_tts
