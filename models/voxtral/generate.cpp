#include "models/voxtral/generate.h"

#include "models/voxtral/codec.h"
#include "ttsft/core/error.h"

namespace ttsft::voxtral {

FlowHead::FlowHead(AcousticTransformer flow, const Config& config, const FlowSolver& solver)
    : flow_(std::move(flow)),
      codec_(config.codec),
      noise_scale_(config.flow.sigma_max),
      alpha_(solver.alpha),
      steps_(flow_steps(solver.steps, FlowSchedule::kLinear)),
      times_(flow_->embed_times(flow_times(steps_, flow_->norm->weight.device()))) {}

torch::Tensor FlowHead::solve(torch::Tensor x, const torch::Tensor& states,
                              const StageProbe& probe) {
  const bool guided = alpha_ != 1;
  torch::Tensor state = flow_->embed_states(states);  // [N, D]
  // Without a condition the state is a vector of zeros, and so is what a projection without a bias
  // makes of it.
  if (guided) state = torch::cat({state, torch::zeros_like(state)});
  const auto show = [&](const torch::Tensor& now) {
    if (probe) probe("x", now);
  };
  show(x);
  const auto velocity = [&](const torch::Tensor& now, size_t step) {
    const torch::Tensor time = times_[static_cast<int64_t>(step)].expand({state.size(0), -1});
    return flow_->velocity(guided ? now.repeat({2, 1}) : now, time, state);
  };
  return solve_flow(std::move(x), steps_, alpha_ - 1, velocity, show);
}

torch::Tensor FlowHead::finish(const torch::Tensor& state, const torch::Tensor& first,
                               const NoiseSource& noise) {
  const torch::Tensor start =
      noise.normal(kNoise, {codec_.acoustic_dim}).to(state.device()) * noise_scale_;
  const torch::Tensor values = solve(start, state).clamp(-1, 1);
  // A row that ends here has no frame: its codes only have to be some.
  return torch::cat(
      {first.clamp_max(codec_.semantic_codes - 1).unsqueeze(1), codes_at(values, codec_.levels)},
      1);
}

SpeechModel::SpeechModel(Lm lm, const FlowSolver& solver, torch::TensorOptions options)
    : lm_(std::move(lm)),
      options_(options),
      head_rows_(lm_->acoustic_transformer->semantic_rows().to(torch::kFloat32)),
      head_(lm_->acoustic_transformer, lm_->config(), solver) {}

RowPrompt SpeechModel::prompt(const Prompt& prompt, const torch::Tensor& voice,
                              const std::vector<int64_t>& text, const std::string& segment) {
  const int64_t size = prompt.size(voice.size(0), std::ssize(text));
  const int64_t places = lm_->config().max_positions;
  if (size >= places)
    throw UsageError("a prompt of " + std::to_string(size) + " positions, the model has " +
                         std::to_string(places),
                     "\"" + segment + "\"", "shorten the text or the voice");
  const auto embedded = [&](const std::vector<int64_t>& ids) {
    return lm_->tok_embeddings(torch::tensor(ids, torch::kInt64).to(options_.device()));
  };
  RowPrompt row;
  row.inputs = torch::cat({embedded(prompt.before_voice()),
                           voice.to(options_.device(), options_.dtype().toScalarType()),
                           embedded(prompt.behind_voice(text))});
  row.at_most = places - size;
  return row;
}

KvCache SpeechModel::make_cache(int64_t rows, int64_t capacity) const {
  return lm_->backbone()->make_cache(rows, capacity, options_);
}

torch::Tensor SpeechModel::forward(const torch::Tensor& x, KvCache& cache) {
  return lm_->backbone()->forward(x, {}, {}, &cache);
}

torch::Tensor SpeechModel::logits(const torch::Tensor& state) {
  return torch::linear(state.to(torch::kFloat32), head_rows_);
}

torch::Tensor SpeechModel::embed(const torch::Tensor& frame, const torch::Tensor& /*number*/) {
  return lm_->frames(tokens_of(frame));
}

}  // namespace ttsft::voxtral
