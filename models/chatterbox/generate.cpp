#include "models/chatterbox/generate.h"

namespace ttsft::chatterbox {

torch::Tensor keep_codes(torch::Tensor tokens) {
  const auto first = [&tokens](int64_t id) {
    const torch::Tensor at = (tokens == id).nonzero();
    return at.numel() ? at[0].item<int64_t>() : -1;
  };
  if (const int64_t start = first(kStartSpeech); start >= 0) tokens = tokens.slice(0, start + 1);
  if (const int64_t stop = first(kStopSpeech); stop >= 0) tokens = tokens.slice(0, 0, stop);
  return tokens.masked_select(tokens < kSpeechCodes);
}

DecodingPlan decoding_plan(const GenerateOptions& options) {
  DecodingPlan plan;
  plan.sampling = options.sampling;
  if (options.repetition_penalty != 1.0)
    plan.rules.push_back(repetition_penalty(options.repetition_penalty));
  plan.end = {kStopSpeech};
  plan.said = {kStartSpeech};
  plan.max_frames = options.max_steps;
  plan.guidance = options.cfg_weight;
  return plan;
}

T3Lm::T3Lm(T3 t3, const T3Config& config, torch::TensorOptions options)
    : t3_(std::move(t3)), config_(config), options_(options) {}

RowPrompt T3Lm::prompt(const std::vector<int64_t>& text, const Condition& condition,
                       double exaggeration, int64_t start_tokens) {
  const torch::Device device = options_.device();
  const auto whole = options_.dtype(torch::kInt64);
  const torch::Tensor emotion = torch::full({1, 1}, exaggeration, options_);
  const torch::Tensor voice = t3_->condition(condition.speaker.to(device).unsqueeze(0),
                                             condition.prompt.to(device).unsqueeze(0), {}, emotion)
                                  .squeeze(0);  // [C, D]
  const torch::Tensor start = t3_->speech(torch::full({start_tokens}, kStartSpeech, whole),
                                          torch::zeros({start_tokens}, whole));  // [1 or 2, D]
  const torch::Tensor ids = torch::tensor(text, torch::kInt64).to(device);
  const torch::Tensor places = t3_->text_pos_emb(torch::arange(ids.size(0), whole));
  RowPrompt prompt;
  prompt.inputs = torch::cat({voice, t3_->text_emb(ids) + places, start});
  prompt.unguided = torch::cat({voice, places, start});
  return prompt;
}

KvCache T3Lm::make_cache(int64_t rows, int64_t capacity) const {
  return t3_->tfmr->make_cache(rows, capacity, options_);
}

torch::Tensor T3Lm::forward(const torch::Tensor& x, KvCache& cache) {
  return t3_->tfmr->forward(x, {}, {}, &cache);
}

torch::Tensor T3Lm::norm(const torch::Tensor& hidden) {
  return t3_->tfmr->norm(hidden);
}

torch::Tensor T3Lm::logits(const torch::Tensor& state) {
  return t3_->speech_head(state).to(torch::kFloat32);
}

// Code i stands at learned position i + 1; both rows of a text hear the same one.
torch::Tensor T3Lm::embed(const torch::Tensor& frame, const torch::Tensor& number) {
  return t3_->speech(frame.squeeze(1), number + 1);
}

}  // namespace ttsft::chatterbox
