#include "ttsft/codec/token_flow.h"

#include "ttsft/core/error.h"
#include "ttsft/io/tensor_shapes.h"

namespace ttsft {

namespace {

torch::Tensor with_zeros(const torch::Tensor& x) {
  return torch::cat({x, torch::zeros_like(x)});
}

[[noreturn]] void wrong_shape(const char* name, const torch::Tensor& given,
                              const std::string& wanted) {
  throw DataError(std::string(name) + " has the shape " + shape_text(given.sizes().vec()) +
                  " instead of " + wanted);
}

torch::Tensor padded(const torch::Tensor& x, int64_t frames) {  // [mels, F] -> [mels, frames]
  return torch::constant_pad_nd(x, {0, frames - x.size(1)});
}

}  // namespace

FlowConditions FlowConditions::with_unconditioned() const {
  return {with_zeros(mu), with_zeros(speaker), with_zeros(prompt),
          real.defined() ? real.repeat({2, 1}) : torch::Tensor(), chunk,
          chunked.defined() ? chunked.repeat({2}) : torch::Tensor()};
}

TokenFlowImpl::TokenFlowImpl(const TokenFlowOptions& options) : options_(options) {
  input_embedding = register_module("input_embedding", Embedding(options.codes, options.width));
  spk_embed_affine_layer =
      register_module("spk_embed_affine_layer", Linear(options.speaker, options.mels, true));
}

void TokenFlowImpl::check(const FlowRow& row) const {
  const TokenFlowOptions& o = options_;
  const int64_t codes = row.codes.numel();
  if (row.codes.dim() != 1 || codes == 0) wrong_shape("codes", row.codes, "[codes]");
  if (row.prompt_feat.dim() != 2 || row.prompt_feat.size(1) != o.mels ||
      row.prompt_feat.size(0) > o.frames_per_code * codes) {
    wrong_shape("prompt_feat", row.prompt_feat,
                "[frames, " + std::to_string(o.mels) + "] with at most " +
                    std::to_string(o.frames_per_code) + " frames for each of " +
                    std::to_string(codes) + " codes");
  }
  if (row.embedding.numel() != o.speaker) {
    wrong_shape("embedding", row.embedding, "[" + std::to_string(o.speaker) + "]");
  }
  const auto [least, most] = torch::aminmax(row.codes);
  if (least.item<int64_t>() < 0 || most.item<int64_t>() >= o.codes) {
    throw DataError("speech codes run from " + std::to_string(least.item<int64_t>()) + " to " +
                        std::to_string(most.item<int64_t>()),
                    "", "the table has codes 0 to " + std::to_string(o.codes - 1));
  }
}

FlowConditions TokenFlowImpl::conditions(std::span<const FlowRow> rows, const StageProbe& probe,
                                         const FlowReach& reach) {
  const torch::Tensor& table = input_embedding->weight;
  const torch::TensorOptions like = table.options();
  RowLengths lengths;
  std::vector<torch::Tensor> codes, speakers, prompts;
  for (const FlowRow& row : rows) {
    check(row);
    lengths.push_back(row.codes.numel());
    codes.push_back(row.codes.to(torch::kCPU, torch::kInt64));
    speakers.push_back(row.embedding.flatten().to(like));
  }
  const torch::Tensor ids = torch::nn::utils::rnn::pad_sequence(codes, true).to(like.device());
  const int64_t frames = options_.frames_per_code * (ids.size(1) - reach.ahead);
  for (const FlowRow& row : rows) prompts.push_back(padded(row.prompt_feat.to(like).t(), frames));
  return conditions(ids, lengths, torch::stack(speakers), torch::stack(prompts), probe, reach);
}

FlowConditions TokenFlowImpl::conditions(const torch::Tensor& codes, const RowLengths& lengths,
                                         const torch::Tensor& speakers,
                                         const torch::Tensor& prompts, const StageProbe& probe,
                                         const FlowReach& reach) {
  torch::Tensor embedded = input_embedding(codes);  // [B, T, width]
  const torch::Tensor spoken = Rows(lengths, codes.size(1), codes.device()).real(codes.size(1));
  if (spoken.defined()) embedded = embedded.masked_fill(~spoken.unsqueeze(-1), 0);

  FlowConditions given;
  torch::Tensor mu = encode(embedded, lengths, probe);
  mu = mu.narrow(1, 0, mu.size(1) - options_.frames_per_code * reach.ahead);
  if (probe) probe("mu", mu);
  given.mu = mu.transpose(1, 2);
  given.speaker = spk_embed_affine_layer(torch::nn::functional::normalize(speakers));
  if (probe) probe("spks", given.speaker);
  given.prompt = prompts;
  // A row's last codes are not spoken: what is real is shorter by as many, at its end.
  if (spoken.defined())
    given.real = spoken.narrow(1, reach.ahead, spoken.size(1) - reach.ahead)
                     .repeat_interleave(options_.frames_per_code, 1);
  given.chunk = reach.chunk;
  return given;
}

std::vector<torch::Tensor> TokenFlowImpl::forward(std::span<const FlowRow> rows,
                                                  const StageProbe& probe, const FlowReach& reach) {
  if (rows.empty()) return {};
  const auto frames_of = [&](const FlowRow& row) {
    return options_.frames_per_code * (row.codes.numel() - reach.ahead);
  };
  const bool guided = options_.guidance != 0;
  FlowConditions given = conditions(rows, probe, reach);
  const int64_t frames = given.mu.size(2);
  std::vector<torch::Tensor> noise;
  for (const FlowRow& row : rows) {
    const torch::Tensor z = row.z.dim() == 3 && row.z.size(0) == 1 ? row.z[0] : row.z;
    const Shape wanted{options_.mels, frames_of(row)};
    if (z.sizes() != wanted) {
      wrong_shape("z", row.z,
                  "[1, " + std::to_string(wanted[0]) + ", " + std::to_string(wanted[1]) + "]");
    }
    noise.push_back(padded(z.to(given.mu.device(), given.mu.scalar_type()), frames));
  }
  if (guided) given = given.with_unconditioned();

  const std::vector<FlowStep> steps = flow_steps(options_.steps, options_.schedule);
  FlowEstimator& estimator = network();
  const std::vector<torch::Tensor> times =
      estimator.embed_times(flow_times(steps, given.mu.device()), probe);
  const torch::Tensor mel = solve_flow(
      torch::stack(noise), steps, options_.guidance, [&](const torch::Tensor& x, size_t step) {
        std::vector<torch::Tensor> time;
        for (const torch::Tensor& of_all : times)
          time.push_back(of_all.narrow(0, static_cast<int64_t>(step), 1));
        return estimator.velocity(guided ? x.repeat({2, 1, 1}) : x, time, given,
                                  step == 0 ? probe : StageProbe{});
      });
  std::vector<torch::Tensor> results;
  for (size_t b = 0; b < rows.size(); ++b) {
    const int64_t prompt = rows[b].prompt_feat.size(0);
    results.push_back(
        mel[static_cast<int64_t>(b)].narrow(1, prompt, frames_of(rows[b]) - prompt));
  }
  return results;
}

}  // namespace ttsft
