#include "tests/toy/synth.h"

#include "ttsft/core/error.h"
#include "ttsft/model/merge_adapter.h"
#include "ttsft/nn/flow_matching.h"
#include "ttsft/nn/rng.h"

namespace ttsft::toy {

RowPrompt ToyLm::prompt(const std::string& text, uint64_t seed) {
  const torch::Tensor ids = torch::tensor(text_ids(text), torch::kInt64).to(options_.device());
  RowPrompt prompt;
  prompt.inputs = lm_->text_emb(ids);
  prompt.seed = seed;
  return prompt;
}

KvCache ToyLm::make_cache(int64_t rows, int64_t capacity) const {
  return lm_->layers->make_cache(rows, capacity, options_);
}

torch::Tensor ToyLm::forward(const torch::Tensor& x, KvCache& cache) {
  return lm_->layers->forward(x, {}, {}, &cache);
}

torch::Tensor ToyLm::logits(const torch::Tensor& state) {
  return lm_->head(state).to(torch::kFloat32);
}

KvCache ToyLm::make_cache(int64_t rows) const {
  return lm_->depth->make_cache(rows, kLevels, options_);
}

torch::Tensor ToyLm::start(const torch::Tensor& state, const torch::Tensor& first) {
  return torch::stack({state, lm_->code_emb[0](first)}, 1);
}

torch::Tensor ToyLm::embed(int64_t level, const torch::Tensor& codes) {
  return lm_->code_emb[static_cast<size_t>(level)](codes).unsqueeze(1);
}

torch::Tensor ToyLm::depth(const torch::Tensor& x, KvCache& cache) {
  return lm_->depth_norm(lm_->depth->forward(x, {}, {}, &cache).select(1, x.size(1) - 1));
}

torch::Tensor ToyLm::logits(int64_t level, const torch::Tensor& hidden) {
  return lm_->level_head[static_cast<size_t>(level) - 1](hidden).to(torch::kFloat32);
}

std::vector<torch::Tensor> Acoustic::decode(std::span<const AcousticRow> rows) {
  const torch::InferenceMode inference;
  std::vector<torch::Tensor> codes, noise;
  std::vector<int64_t> samples;
  for (const AcousticRow& row : rows) {
    if (row.codes.dim() != 2 || row.codes.size(1) != kLevels)
      throw DataError("wants frames of six codes");
    const int64_t frames = row.codes.size(0);
    torch::Generator generator = make_generator(torch::kCPU, derive_seed(row.seed, "z"));
    codes.push_back(row.codes.to(device_));
    noise.push_back(row.noise != nullptr && row.noise->contains("z")
                        ? row.noise->at("z")
                        : torch::randn({frames, kMel}, generator));
    samples.push_back(frames * kMel);
  }
  const torch::Tensor all = torch::cat(codes);
  const auto steps = flow_steps(8, FlowSchedule::kLinear);
  const torch::Tensor mel =
      solve_flow(torch::cat(noise).to(device_).t().unsqueeze(0), steps, /*guidance=*/0,
                 [&](const torch::Tensor& x, size_t step) {
                   const torch::Tensor frames = x.squeeze(0).t();  // [N, M]
                   const torch::Tensor time =
                       torch::full({frames.size(0), 1}, steps[step].time, frames.options());
                   return flow_->velocity(frames, time, all).t().unsqueeze(0);
                 });
  return mel.squeeze(0).t().flatten().div(4).to(torch::kCPU).split_with_sizes(samples);
}

SpeechSynthesizer::SpeechSynthesizer(const ModelContext& context, const CheckpointSet& checkpoints,
                                     double lora_scale)
    : context_(context), checkpoint_(checkpoints.of("lm")), lora_scale_(lora_scale) {
  const torch::InferenceMode inference;
  const CheckpointRef& own = checkpoints.of("flow");
  Flow flow = load_flow(base_folder(context.config, own), context.device, torch::kFloat32);
  wear_adapter(*flow, own, lora_scale, context.device, torch::kFloat32);
  acoustic_ = std::make_unique<Acoustic>(flow, context.device);
}

void SpeechSynthesizer::load() {
  if (lm_) return;
  const torch::InferenceMode inference;
  Lm lm = load_lm(base_folder(context_.config, checkpoint_), context_.device, context_.dtype);
  lm->eval();
  wear_adapter(*lm, checkpoint_, lora_scale_, context_.device, context_.dtype);
  lm_ = std::make_unique<ToyLm>(lm, tensor_options());
}

torch::TensorOptions SpeechSynthesizer::tensor_options() const {
  return torch::TensorOptions().device(context_.device).dtype(context_.dtype);
}

DecodingPlan SpeechSynthesizer::plan(const DecodeOptions& options) {
  const SynthConfig& synth = context_.config.synth;
  DecodingPlan plan;
  plan.sampling = {options.greedy, synth.temperature, synth.top_k, synth.top_p, synth.min_p};
  plan.end = {kEnd};
  plan.max_frames = options.max_frames;
  lm_->set_sampling(plan.sampling);
  return plan;
}

RowPrompt SpeechSynthesizer::prompt(const std::string& segment, uint64_t seed,
                                    std::span<const SpokenSegment> /*earlier*/) {
  const torch::InferenceMode inference;
  return lm_->prompt(segment, seed);
}

}  // namespace ttsft::toy
