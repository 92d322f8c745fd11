#include "models/chatterbox/generate.h"

#include "ttsft/core/log.h"
#include "ttsft/nn/left_padding.h"
#include "ttsft/nn/rng.h"

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

CodeGenerator::CodeGenerator(T3 t3, const T3Config& config, torch::Device device,
                             torch::Dtype dtype)
    : t3_(std::move(t3)),
      config_(config),
      tensor_options_(torch::TensorOptions().device(device).dtype(dtype)) {}

// What stands before the codes, a row per text; with guidance as many again without the words.
std::vector<torch::Tensor> CodeGenerator::prompts(const std::vector<std::vector<int64_t>>& texts,
                                                  const Condition& condition) {
  const torch::Device device = tensor_options_.device();
  const auto whole = tensor_options_.dtype(torch::kInt64);
  const torch::Tensor emotion = torch::full({1, 1}, options_.exaggeration, tensor_options_);
  const torch::Tensor voice = t3_->condition(condition.speaker.to(device).unsqueeze(0),
                                             condition.prompt.to(device).unsqueeze(0), {}, emotion)
                                  .squeeze(0);  // [C, D]
  const torch::Tensor start =
      t3_->speech(torch::full({options_.start_tokens}, kStartSpeech, whole),
                  torch::zeros({options_.start_tokens}, whole));  // [1 or 2, D]
  std::vector<torch::Tensor> rows, hidden;
  for (const std::vector<int64_t>& ids : texts) {
    const torch::Tensor id = torch::tensor(ids, torch::kInt64).to(device);
    const torch::Tensor places = t3_->text_pos_emb(torch::arange(id.size(0), whole));
    rows.push_back(torch::cat({voice, t3_->text_emb(id) + places, start}));
    if (guided_) hidden.push_back(torch::cat({voice, places, start}));
  }
  rows.insert(rows.end(), hidden.begin(), hidden.end());
  return rows;
}

void CodeGenerator::begin(const std::vector<std::vector<int64_t>>& texts,
                          const Condition& condition, const std::vector<uint64_t>& seeds,
                          const GenerateOptions& options) {
  options_ = options;
  guided_ = options.cfg_weight > 0;
  const auto batch = static_cast<int64_t>(texts.size());
  const LeftPadded padded = pad_left(prompts(texts, condition), options.max_steps, tensor_options_);
  lengths_ = padded.lengths;
  mask_ = padded.mask;
  cache_ = t3_->tfmr->make_cache(padded.inputs.size(0), padded.inputs.size(1) + options.max_steps,
                                 tensor_options_);
  const auto flags = tensor_options_.dtype(torch::kBool);
  seen_ = torch::zeros({batch, config_.speech_vocab}, flags);
  seen_.select(1, kStartSpeech).fill_(true);  // the start counts as said
  finished_ = torch::zeros({batch}, flags);
  generators_.clear();
  for (const uint64_t seed : seeds)
    generators_.push_back(make_generator(tensor_options_.device(), seed));
  tokens_.clear();
  ended_.clear();
  next_input_ = torch::Tensor();
  out_of_places_ = false;
  look(t3_->tfmr->forward(padded.inputs, padded.positions, padded.prefill_mask, &*cache_));
}

void CodeGenerator::look(const torch::Tensor& output) {
  const torch::Tensor hidden = t3_->tfmr->norm(output.select(1, output.size(1) - 1));  // [R, D]
  logits_ = t3_->speech_head(hidden).to(torch::kFloat32);                              // [R, V]
}

torch::Tensor CodeGenerator::scores() const {
  if (!guided_) return logits_.clone();
  const auto rows = logits_.chunk(2);
  return rows[0] + options_.cfg_weight * (rows[0] - rows[1]);
}

void CodeGenerator::step() {
  const auto number = static_cast<int64_t>(tokens_.size());
  if (number >= config_.max_speech_tokens) {
    if (!out_of_places_)
      log_warning("the model has places for ", number, " codes: the end may be missing");
    out_of_places_ = true;
    finished_ = torch::ones_like(finished_);
    return;
  }
  if (next_input_.defined()) {
    const int64_t filled = cache_->length();
    torch::Tensor positions, visible;
    if (mask_.defined()) {
      positions = (lengths_ + number - 1).unsqueeze(1);  // [R, 1]
      visible = mask_.narrow(3, 0, filled + 1);
    }
    look(t3_->tfmr->forward(next_input_, positions, visible, &*cache_));
  }
  torch::Tensor processed = scores();
  apply_repetition_penalty(processed, seen_, options_.repetition_penalty);
  const torch::Tensor picked = pick_tokens(processed, options_.sampling, generators_);  // [B]
  seen_.scatter_(1, picked.unsqueeze(1), true);
  ended_.push_back(finished_);
  finished_ = finished_ | (picked == kStopSpeech);
  tokens_.push_back(picked);
  // Code i stands at learned position i + 1; both rows of a text hear the same one.
  const torch::Tensor position = torch::full_like(picked, number + 1);
  torch::Tensor next = t3_->speech(picked, position).unsqueeze(1);  // [B, 1, D]
  next_input_ = guided_ ? torch::cat({next, next}) : next;
}

std::vector<torch::Tensor> CodeGenerator::tokens() const {
  const int64_t batch = finished_.size(0);
  if (tokens_.empty())
    return std::vector<torch::Tensor>(static_cast<size_t>(batch), torch::empty({0}, torch::kInt64));
  const torch::Tensor all = torch::stack(tokens_, 1).to(torch::kCPU);  // [B, F]
  const torch::Tensor ended = torch::stack(ended_, 1).to(torch::kCPU);
  std::vector<torch::Tensor> rows;
  for (int64_t row = 0; row < batch; ++row)
    rows.push_back(all[row].masked_select(ended[row].logical_not()));
  return rows;
}

std::vector<torch::Tensor> CodeGenerator::codes() const {
  std::vector<torch::Tensor> rows = tokens();
  for (torch::Tensor& row : rows) row = keep_codes(row);
  return rows;
}

}  // namespace ttsft::chatterbox
