#include "models/indextts2/generate.h"

#include <algorithm>

#include "ttsft/nn/left_padding.h"
#include "ttsft/nn/rng.h"

namespace ttsft::indextts2 {
namespace {

// What the repetition penalty takes for the token before the codes: upstream fills the ids of the
// prompt with this one, so that code 1 always counts as seen.
constexpr int64_t kPromptId = 1;

torch::Tensor to_device(const std::vector<int64_t>& values, torch::Device device) {
  return torch::tensor(values, torch::kInt64).to(device);
}

// start, text, stop
std::vector<int64_t> text_track(const GptConfig& config, const std::vector<int64_t>& text) {
  std::vector<int64_t> ids = {config.start_text_token};
  for (const int64_t id : text)
    if (id != config.start_text_token && id != config.stop_text_token) ids.push_back(id);
  ids.push_back(config.stop_text_token);
  return ids;
}

torch::Tensor mel_inputs(UnifiedVoice& model, const std::vector<int64_t>& codes) {
  const torch::Tensor ids = to_device(codes, model->mel_head->weight.device());
  return model->mel(ids, torch::arange(ids.size(0), ids.options()));
}

}  // namespace

torch::Tensor prompt_inputs(UnifiedVoice& model, const GptConfig& config,
                            const SpeechPrompt& prompt) {
  const torch::Device device = model->mel_head->weight.device();
  const torch::Tensor ids = to_device(text_track(config, prompt.text), device);
  const torch::Tensor prefix =
      model
          ->prefix(prompt.condition.to(device).unsqueeze(0), prompt.emotion.to(device).unsqueeze(0))
          .squeeze(0);
  return torch::cat({prefix, model->text(ids, torch::arange(ids.size(0), ids.options()))});
}

CodeGenerator::CodeGenerator(UnifiedVoice model, const GptConfig& config, torch::Device device,
                             torch::Dtype dtype)
    : model_(std::move(model)),
      config_(config),
      tensor_options_(torch::TensorOptions().device(device).dtype(dtype)) {}

void CodeGenerator::begin(const std::vector<SpeechPrompt>& prompts,
                          const std::vector<uint64_t>& seeds, const GenerateOptions& options) {
  options_ = options;
  if (options.beams > 1) options_.sampling.min_keep = 2;
  steps_ = 0;
  // The last code is never fed, and row k + 2 must exist for those that are.
  limit_ = std::min({options.max_codes, config_.max_mel_tokens, config_.mel_positions - 1});
  const auto batch = std::ssize(prompts);
  const torch::Tensor start = mel_inputs(model_, {config_.start_mel_token});  // [1, D]
  std::vector<torch::Tensor> inputs;
  generators_.clear();
  for (size_t row = 0; row < prompts.size(); ++row) {
    inputs.push_back(torch::cat({prompt_inputs(model_, config_, prompts[row]), start}));
    generators_.push_back(make_generator(tensor_options_.device(), seeds.at(row)));
  }
  const LeftPadded padded = pad_left(inputs, limit_, tensor_options_);
  prompt_length_ = padded.inputs.size(1);
  mask_ = padded.mask;
  cache_ = model_->gpt->make_cache(batch, prompt_length_ + limit_, tensor_options_);
  look(model_->gpt->forward(padded.inputs, padded.prefill_mask, &*cache_));

  const int64_t beams = options_.beams;
  const auto flags = tensor_options_.dtype(torch::kBool);
  seen_ = torch::zeros({batch * beams, config_.mel_vocabulary}, flags);
  seen_.select(1, kPromptId).fill_(true);
  seen_.select(1, config_.start_mel_token).fill_(true);
  finished_ = torch::zeros({batch}, flags);
  codes_.clear();
  ended_.clear();
  beams_.reset();
  if (beams == 1) return;
  beams_.emplace(BeamOptions{beams, config_.stop_mel_token, options_.length_penalty,
                             !options_.sampling.greedy},
                 batch, limit_, tensor_options_.device());
  // All beams of a text start alike.
  const torch::Tensor rows =
      torch::arange(batch, tensor_options_.dtype(torch::kInt64)).repeat_interleave(beams);
  cache_->reorder(rows);
  logits_ = logits_.index_select(0, rows);
  if (mask_.defined()) mask_ = mask_.index_select(0, rows);
}

void CodeGenerator::look(const torch::Tensor& output) {
  const torch::Tensor hidden = model_->norm(output.select(1, output.size(1) - 1));  // [B N, D]
  logits_ = model_->mel_head(hidden).to(torch::kFloat32);                           // [B N, V]
}

void CodeGenerator::step() {
  if (steps_ >= limit_) return;
  if (steps_ > 0) {
    const int64_t position = steps_ - 1 + (options_.positions == MelPositions::kUpstream ? 2 : 1);
    const torch::Tensor input =
        model_->mel(last_codes_, torch::full({1}, position, tensor_options_.dtype(torch::kInt64)));
    torch::Tensor mask;
    if (mask_.defined()) mask = mask_.narrow(3, 0, cache_->length() + 1);
    look(model_->gpt->forward(input.unsqueeze(1), mask, &*cache_));
  }
  torch::Tensor scores = beams_ ? logits_.log_softmax(-1) : logits_.clone();
  apply_repetition_penalty(scores, seen_, options_.repetition_penalty);
  if (beams_) {
    search(scores);
  } else {
    pick(scores);
  }
  seen_.scatter_(1, last_codes_.unsqueeze(1), true);
  ++steps_;
}

void CodeGenerator::search(const torch::Tensor& scores) {
  const BeamSearch::Step next = beams_->advance(
      options_.sampling.greedy ? scores : filter_scores(scores, options_.sampling), generators_);
  cache_->reorder(next.rows, prompt_length_);
  seen_ = seen_.index_select(0, next.rows);
  last_codes_ = next.tokens;
}

void CodeGenerator::pick(const torch::Tensor& scores) {
  const torch::Tensor code = pick_tokens(scores, options_.sampling, generators_);  // [B]
  finished_ = finished_ | (code == config_.stop_mel_token);
  ended_.push_back(finished_);
  codes_.push_back(code);
  last_codes_ = code;  // a row that has ended goes on with whatever it picks; nobody reads it
}

torch::Tensor CodeGenerator::finished() const {
  return beams_ ? beams_->finished() : finished_;
}

std::vector<torch::Tensor> CodeGenerator::codes() const {
  if (beams_) return beams_->best();
  const int64_t batch = finished_.size(0);
  if (codes_.empty())
    return std::vector<torch::Tensor>(static_cast<size_t>(batch), torch::empty({0}, torch::kInt64));
  const torch::Tensor all = torch::stack(codes_, 1).to(torch::kCPU);  // [B, n]
  const torch::Tensor lengths = torch::stack(ended_, 1).logical_not().sum(1).to(torch::kCPU);
  std::vector<torch::Tensor> rows;
  for (int64_t row = 0; row < batch; ++row)
    rows.push_back(all[row].narrow(0, 0, lengths[row].item<int64_t>()).contiguous());
  return rows;
}

std::vector<torch::Tensor> code_latents(UnifiedVoice& model, const GptConfig& config,
                                        const std::vector<SpeechPrompt>& prompts,
                                        const std::vector<torch::Tensor>& codes) {
  std::vector<torch::Tensor> inputs;
  std::vector<int64_t> first;  // position of the start token, whose state predicts the first code
  for (size_t row = 0; row < prompts.size(); ++row) {
    const torch::Tensor track = codes[row].to(torch::kCPU, torch::kInt64).contiguous();
    std::vector<int64_t> mel = {config.start_mel_token};
    // The last code and the stop token would come behind all states that are read.
    mel.insert(mel.end(), track.data_ptr<int64_t>(), track.data_ptr<int64_t>() + track.numel());
    if (track.numel() > 0) mel.pop_back();
    const torch::Tensor prompt = prompt_inputs(model, config, prompts[row]);
    first.push_back(prompt.size(0));
    inputs.push_back(torch::cat({prompt, mel_inputs(model, mel)}));
  }
  const torch::Tensor hidden =
      model->gpt(torch::nn::utils::rnn::pad_sequence(inputs, /*batch_first=*/true));  // [B, T, D]
  std::vector<torch::Tensor> latents;
  for (size_t row = 0; row < prompts.size(); ++row) {
    const torch::Tensor states = hidden[static_cast<int64_t>(row)];
    latents.push_back(model->norm(states.narrow(0, first[row], codes[row].size(0))));
  }
  return latents;
}

}  // namespace ttsft::indextts2
