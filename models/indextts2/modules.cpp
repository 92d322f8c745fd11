#include "models/indextts2/modules.h"

namespace ttsft::indextts2 {
namespace {

Gpt2Options gpt_options(const GptConfig& config, double dropout) {
  Gpt2Options options;
  options.layers = config.layers;
  options.hidden = config.model_dim;
  options.heads = config.heads;
  options.intermediate = config.inner;
  options.embedding_dropout = options.attention_dropout = options.residual_dropout = dropout;
  return options;
}

Linear head(int64_t dim, int64_t vocabulary) {
  return Linear(
      LinearOptions{dim, vocabulary, /*bias=*/true, LinearLayout::kOutIn, LinearRole::kHead});
}

}  // namespace

UnifiedVoiceImpl::UnifiedVoiceImpl(const GptConfig& config, double dropout) {
  const int64_t dim = config.model_dim;
  text_embedding = register_module("text_embedding", Embedding(config.text_vocabulary, dim));
  mel_embedding = register_module("mel_embedding", Embedding(config.mel_vocabulary, dim));
  gpt = register_module("gpt", Gpt2Stack(gpt_options(config, dropout)));
  mel_pos_embedding =
      register_module("mel_pos_embedding", LearnedPositions(config.mel_positions, dim));
  text_pos_embedding =
      register_module("text_pos_embedding", LearnedPositions(config.text_positions, dim));
  final_norm = register_module("final_norm", LayerNorm(dim, 1e-5));
  text_head = register_module("text_head", head(dim, config.text_vocabulary));
  mel_head = register_module("mel_head", head(dim, config.mel_vocabulary));
  speed_emb = register_module("speed_emb", Embedding(config.speeds, dim));
}

torch::Tensor UnifiedVoiceImpl::prefix(const torch::Tensor& condition,
                                       const torch::Tensor& emotion) {
  const int64_t batch = condition.size(0);
  // Upstream's duration control is off: row 1, then row 0, whatever the text.
  const torch::Tensor speeds =
      torch::stack({speed_emb->weight[1], speed_emb->weight[0]}).expand({batch, -1, -1});
  return torch::cat({(condition + emotion.unsqueeze(1)).to(speeds.scalar_type()), speeds}, 1);
}

}  // namespace ttsft::indextts2
