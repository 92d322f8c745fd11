#include "models/indextts2/generate.h"


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

DecodingPlan decoding_plan(const GptConfig& config, const GenerateOptions& options) {
  DecodingPlan plan;
  plan.sampling = options.sampling;
  if (options.repetition_penalty != 1.0)
    plan.rules.push_back(repetition_penalty(options.repetition_penalty));
  plan.end = {config.stop_mel_token};
  plan.said = {kPromptId, config.start_mel_token};
  plan.max_frames = options.max_codes;
  plan.beams = options.beams;
  plan.length_penalty = options.length_penalty;
  return plan;
}

GptLm::GptLm(UnifiedVoice model, const GptConfig& config, torch::TensorOptions options,
             MelPositions positions)
    : model_(std::move(model)), config_(config), options_(options), positions_(positions) {}

RowPrompt GptLm::prompt(const SpeechPrompt& prompt) {
  RowPrompt row;
  row.inputs = torch::cat(
      {prompt_inputs(model_, config_, prompt), mel_inputs(model_, {config_.start_mel_token})});
  return row;
}

KvCache GptLm::make_cache(int64_t rows, int64_t capacity) const {
  return model_->gpt->make_cache(rows, capacity, options_);
}

torch::Tensor GptLm::forward(const torch::Tensor& x, KvCache& cache) {
  return model_->gpt->forward(x, {}, &cache);
}

torch::Tensor GptLm::norm(const torch::Tensor& hidden) {
  return model_->norm(hidden);
}

torch::Tensor GptLm::logits(const torch::Tensor& state) {
  return model_->mel_head(state).to(torch::kFloat32);
}

torch::Tensor GptLm::embed(const torch::Tensor& frame, const torch::Tensor& number) {
  const int64_t first = positions_ == MelPositions::kUpstream ? 2 : 1;
  // Rows that have ended are asked for one place too many.
  return model_->mel(frame.squeeze(1), (number + first).clamp_max(config_.mel_positions - 1));
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
