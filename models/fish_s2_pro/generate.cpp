#include "models/fish_s2_pro/generate.h"

#include "ttsft/core/error.h"
#include "ttsft/io/tensor_file.h"

namespace ttsft::fish_s2_pro {
namespace {

constexpr int64_t kWindow = 10;            // of the repetition rule, in frames
constexpr double kAgainTemperature = 1.0;  // of the other draw
constexpr double kAgainTopP = 0.9;
constexpr int64_t kLeastRoom = 2048;  // positions behind a prompt, as upstream wants

// Vocabulary ids of the tokens that may be chosen.
torch::Tensor chosen_ids(const Tokenizer& tokenizer) {
  return torch::cat(
      {torch::arange(tokenizer.semantic_codes(), torch::kInt64) + tokenizer.semantic_begin(),
       torch::tensor({tokenizer.im_end()}, torch::kInt64)});
}

}  // namespace

SamplingOptions fish_sampling(double temperature, double top_p, int64_t top_k) {
  SamplingOptions sampling;
  sampling.temperature = temperature;
  sampling.top_p = top_p;
  sampling.top_k = top_k;
  sampling.untempered = sampling.top_p_first = sampling.below_top_p = true;
  return sampling;
}

DecodingPlan decoding_plan(const SamplingOptions& sampling, int64_t codes, int64_t max_frames) {
  DecodingPlan plan;
  plan.sampling = sampling;
  RepetitionAware aware;
  aware.window = kWindow;
  aware.times = 1;
  aware.skip = 1;
  aware.again = fish_sampling(kAgainTemperature, kAgainTopP, sampling.top_k);
  plan.aware = aware;
  plan.end = {codes};
  plan.max_frames = max_frames;
  return plan;
}

RecordedDraws recorded_draws(const Noise& noise, const Tokenizer& tokenizer, const Config& config) {
  const torch::Tensor ids = chosen_ids(tokenizer);
  RecordedDraws draws;
  for (const auto& [name, values] : noise) {
    const bool fast = name == "uniform_fast";
    if (!fast && name != "uniform_slow_normal" && name != "uniform_slow_high")
      throw DataError("no noise is called " + name, "--noise",
                      "known: uniform_slow_normal, uniform_slow_high, uniform_fast");
    const Shape shape =
        fast ? Shape{config.codebooks - 1, config.codebook_size} : Shape{config.vocab_size};
    if (values.dim() != std::ssize(shape) + 1 || values.sizes().slice(1) != shape)
      throw DataError(name + " is " + shape_text(values.sizes().vec()), "--noise",
                      "wanted: [frames" + std::string(fast ? ", levels" : "") + ", " +
                          std::to_string(shape.back()) + "]");
    if (fast) {
      draws["levels"] = values;
    } else {
      draws[name == "uniform_slow_high" ? "token again" : "token"] = values.index_select(1, ids);
    }
  }
  return draws;
}

DualArLm::DualArLm(DualAr model, const Tokenizer& tokenizer, torch::TensorOptions options)
    : model_(std::move(model)), semantic_begin_(tokenizer.semantic_begin()), options_(options) {
  head_rows_ = model_->embeddings->effective_table().index_select(
      0, chosen_ids(tokenizer).to(options.device()));
  set_sampling({});
}

RowPrompt DualArLm::prompt(const Columns& columns, const std::string& segment) {
  const torch::Device device = options_.device();
  const auto on_device = [&](const std::vector<int64_t>& values) {
    return torch::tensor(values, torch::kInt64).to(device);
  };
  if (columns.size() > config().max_seq_len - std::min(kLeastRoom, config().max_seq_len / 2))
    throw UsageError("a prompt of " + std::to_string(columns.size()) + " columns, the model has " +
                         std::to_string(config().max_seq_len) + " places and wants room to speak",
                     "\"" + segment + "\"",
                     "shorten the text or data.reference, or give it in several texts");
  const torch::Tensor tokens = on_device(columns.tokens);
  RowPrompt prompt;
  prompt.inputs = model_->embeddings(tokens);  // [T, D]
  if (!columns.frame_at.empty()) {
    const torch::Tensor at = on_device(columns.frame_at);
    const torch::Tensor frames = model_->frames(
        tokens.index_select(0, at), columns.codes().to(device), config().scale_codebooks);
    prompt.inputs = prompt.inputs.index_copy(0, at, frames.to(prompt.inputs.scalar_type()));
  }
  prompt.at_most = config().max_seq_len - columns.size();
  return prompt;
}

KvCache DualArLm::make_cache(int64_t rows, int64_t capacity) const {
  return model_->slow()->make_cache(rows, capacity, options_);
}

torch::Tensor DualArLm::forward(const torch::Tensor& x, KvCache& cache) {
  return model_->slow()->forward(x, {}, {}, &cache);
}

torch::Tensor DualArLm::logits(const torch::Tensor& state) {
  return torch::linear(state, head_rows_).to(torch::kFloat32);
}

torch::Tensor DualArLm::embed(const torch::Tensor& frame, const torch::Tensor& /*number*/) {
  return model_->frames(frame.select(1, 0) + semantic_begin_, frame, config().scale_codebooks);
}

KvCache DualArLm::make_cache(int64_t rows) const {
  return model_->fast()->make_cache(rows, levels(), options_);
}

torch::Tensor DualArLm::start(const torch::Tensor& state, const torch::Tensor& first) {
  return torch::stack({model_->project(state), model_->fast_embeddings(first)}, 1);
}

torch::Tensor DualArLm::embed(int64_t /*level*/, const torch::Tensor& codes) {
  return model_->fast_embeddings(codes).unsqueeze(1);
}

torch::Tensor DualArLm::depth(const torch::Tensor& x, KvCache& cache) {
  return model_->fast_norm(model_->fast()->forward(x, {}, {}, &cache).select(1, x.size(1) - 1));
}

torch::Tensor DualArLm::logits(int64_t /*level*/, const torch::Tensor& hidden) {
  return model_->fast_output(hidden).to(torch::kFloat32);
}

}  // namespace ttsft::fish_s2_pro
