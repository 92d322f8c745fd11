#include "models/cosyvoice3/flow_objective.h"

#include <algorithm>

#include "ttsft/codec/s3_voice.h"

namespace ttsft::cosyvoice3 {
namespace {

constexpr double kSigma = 1e-6;         // of the flow's end
constexpr double kKept = 0.8;           // share of rows whose condition is kept
constexpr double kPrompted = 0.5;       // share of rows that are given their first frames
constexpr double kLongestPrompt = 0.3;  // of the frames
constexpr double kChunked = 0.5;        // share of batches that hear in chunks

// How many of its own frames a row is given, 0 to 0.3 of them.
int64_t prompt_frames(const Draw& draw, const std::string& id, int64_t frames) {
  const torch::Tensor drawn = draw.tensor(id, "cond_frames", {1}, [&](torch::Generator& generator) {
    const torch::Tensor both = torch::rand({2}, generator);
    const auto most =
        static_cast<double>(static_cast<int64_t>(kLongestPrompt * static_cast<double>(frames)));
    const torch::Tensor count = (both.narrow(0, 1, 1) * (most + 1)).floor().clamp_max(most);
    return both.narrow(0, 0, 1).lt(kPrompted).to(torch::kFloat32) * count;
  });
  return std::clamp<int64_t>(std::llround(drawn.item<float>()), 0, frames);
}

// Upstream draws once for a batch. In evaluation each utterance draws for itself.
torch::Tensor chunked_rows(std::span<const FlowSample* const> samples, const Draw& draw,
                           FlowMask mask) {
  const auto rows = std::ssize(samples);
  if (mask == FlowMask::kFull) return {};
  if (mask == FlowMask::kStreaming) return torch::ones({rows}, torch::kBool);
  const Draw own{.training = draw.training, .seed = draw.seed};  // no replay names it
  torch::Tensor chosen = torch::empty({rows}, torch::kBool);
  for (int64_t b = 0; b < rows; ++b) {
    const std::string& id = samples[static_cast<size_t>(draw.training ? 0 : b)]->id;
    chosen[b] = own.happens(id, "streaming", kChunked);
  }
  return chosen;
}

torch::Tensor padded(const torch::Tensor& x, int64_t frames) {
  return torch::constant_pad_nd(x, {0, frames - x.size(-1)});
}

}  // namespace

void FlowBatch::each(const std::function<void(torch::Tensor&)>& visit) {
  for (torch::Tensor* tensor :
       {&codes, &embedding, &mel, &z, &time, &keep, &prompt, &chunked, &position, &row})
    visit(*tensor);
}

FlowBatch collate_flow(std::span<const FlowSample* const> samples, const Draw& draw,
                       FlowMask mask) {
  FlowBatch batch;
  int64_t longest = 0;
  for (const FlowSample* sample : samples) longest = std::max(longest, sample->codes.size(0));
  const int64_t frames = kS3FramesPerCode * longest;
  std::vector<torch::Tensor> codes, embeddings, mels, noises, times, keeps, prompts;
  std::vector<int64_t> position, row;
  for (const FlowSample* sample : samples) {
    const auto b = std::ssize(batch.ids);
    const torch::Tensor mel = sample->mel.t();  // [mels, F]
    const int64_t own = mel.size(1);
    batch.ids.push_back(sample->id);
    batch.lengths.push_back(sample->codes.size(0));
    codes.push_back(padded(sample->codes, longest));
    embeddings.push_back(sample->embedding);
    mels.push_back(padded(mel, frames));
    times.push_back(draw.uniform(sample->id, "t", {1}));
    noises.push_back(padded(draw.normal(sample->id, "z", {mel.size(0), own}), frames));
    keeps.push_back(torch::full({1, 1}, draw.happens(sample->id, "keep", kKept) ? 1.0f : 0.0f));
    const int64_t given = prompt_frames(draw, sample->id, own);
    prompts.push_back(padded(mel.narrow(1, 0, given), frames));
    for (int64_t f = 0; f < own; ++f) {
      position.push_back(b * frames + f);
      row.push_back(b);
    }
  }
  batch.codes = torch::stack(codes);
  batch.embedding = torch::stack(embeddings);
  batch.mel = torch::stack(mels);
  batch.z = torch::stack(noises);
  batch.time = torch::cat(times);
  batch.keep = torch::stack(keeps);
  batch.prompt = torch::stack(prompts);
  batch.chunked = chunked_rows(samples, draw, mask);
  batch.position = torch::tensor(position, torch::kInt64);
  batch.row = torch::tensor(row, torch::kInt64);
  batch.positions = std::ssize(samples) * frames;
  batch.padding = batch.positions - std::ssize(position);
  batch.supervised["flow"] = static_cast<double>(position.size());
  return batch;
}

std::vector<LossTerm> flow_loss(Flow& flow, const FlowBatch& batch, int64_t chunk) {
  FlowEstimator& estimator = flow->network();
  const auto type = flow->parameters().front().scalar_type();
  const torch::Tensor t = batch.time.view({-1, 1, 1});
  const torch::Tensor y = (1 - (1 - kSigma) * t) * batch.z + t * batch.mel;
  const torch::Tensor u = batch.mel - (1 - kSigma) * batch.z;
  FlowConditions given =
      flow->conditions(batch.codes, batch.lengths, batch.embedding.to(type), batch.prompt.to(type));
  const torch::Tensor keep = batch.keep.to(type);
  given.mu = given.mu * keep;
  given.speaker = given.speaker * keep.squeeze(2);
  given.prompt = given.prompt * keep;
  if (batch.chunked.defined()) {
    given.chunk = chunk;
    given.chunked = batch.chunked;
  }
  const torch::Tensor velocity =
      estimator.velocity(y.to(type), estimator.embed_times(batch.time), given).to(torch::kFloat32);
  const torch::Tensor error = (velocity - u).square().mean(1).flatten();  // [B 2T]
  return {{"flow", 1.0, error.index_select(0, batch.position), {}, batch.row}};
}

}  // namespace ttsft::cosyvoice3
