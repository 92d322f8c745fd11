#include "checks.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "ttsft/core/error.h"
#include "ttsft/core/log.h"

namespace ttsft {
namespace {

constexpr double kToleranceFp32 = 1e-3, kToleranceBf16 = 5e-2;  // of the largest logit
constexpr double kKnowing = 0.8;       // share of ln V below which a model knows something
constexpr int64_t kFewestFrames = 16;  // fewer say nothing about a mean
constexpr size_t kOffsetSamples = 4;

// Sum and number of -log p(targets) where frame i's logits are compared with the target of frame
// i + offset.
struct CrossEntropy {
  double sum = 0;
  int64_t frames = 0;
  double mean() const { return sum / static_cast<double>(std::max<int64_t>(1, frames)); }

  void add(const torch::Tensor& log_probabilities, const torch::Tensor& targets, int64_t offset) {
    const int64_t n = targets.size(0) - std::abs(offset);
    if (n <= 0) return;
    const torch::Tensor p = log_probabilities.narrow(0, std::max<int64_t>(0, -offset), n);
    const torch::Tensor t = targets.narrow(0, std::max<int64_t>(0, offset), n);
    sum -= p.gather(1, t.unsqueeze(1)).sum(torch::kFloat64).item<double>();
    frames += n;
  }
};

class EvalMode {
 public:
  explicit EvalMode(Stage& stage) : stage_(stage) { stage_.module().eval(); }
  ~EvalMode() { stage_.module().train(); }
  EvalMode(const EvalMode&) = delete;
  EvalMode& operator=(const EvalMode&) = delete;

 private:
  Stage& stage_;
  torch::NoGradGuard no_grad_;
};

}  // namespace

void check_terms(Stage& stage, const StepBatches& step) {
  const std::string where = "the first batch (" + id_list(step.ids()) + ")";
  for (const auto& [term, tokens] : step.supervised()) {
    if (tokens > 0) continue;
    throw CheckError("loss term " + term + " has no supervised token", where,
                     "look at the texts and codes of these clips in the prepared set");
  }
  double total = 0;
  for (const auto& batch : step.batches) {
    for (const LossTerm& term : stage.loss(*batch, {})) {
      const auto counted = batch->supervised.find(term.name);
      if (counted == batch->supervised.end() || counted->second != term.nll.numel()) {
        throw CheckError("loss term " + term.name + " gives " + std::to_string(term.nll.numel()) +
                             " losses but counts other tokens",
                         where);
      }
      const double sum = term.nll.sum(torch::kFloat64).item<double>();
      if (!std::isfinite(sum)) {
        throw CheckError("loss term " + term.name + " is not a finite number", where,
                         "are the checkpoint's weights intact? try precision: fp32");
      }
      total += term.weight * sum;
    }
  }
  if (total == 0) {
    throw CheckError("the loss is exactly 0", where, "nothing can be learned from these targets");
  }
}

void check_decoding(Stage& stage, const Sample& sample, double tolerance) {
  const Probe trained = stage.train_probe(sample), decoded = stage.decode_probe(sample);
  if (trained.logits.sizes() != decoded.logits.sizes()) {
    throw CheckError("training sees " + std::to_string(trained.logits.size(0)) +
                         " frames and decoding " + std::to_string(decoded.logits.size(0)),
                     sample.id);
  }
  if (trained.logits.numel() == 0) return;
  const double scale = trained.logits.abs().max().item<double>();
  const double difference =
      (trained.logits - decoded.logits.to(trained.logits.device())).abs().max().item<double>();
  // Written so that a difference that is not a number fails too.
  if (difference <= tolerance * scale) {
    log_info("training and decoding agree: logits of ", sample.id, " differ by ", difference,
             " at most, the largest is ", scale);
    return;
  }
  throw CheckError(
      detail::concatenate("training and decoding give different logits: they differ by ",
                          difference, ", allowed are ", tolerance * scale),
      sample.id, "what is trained would not be what speaks");
}

OffsetVerdict check_frame_offset(Stage& stage, const std::vector<const Sample*>& samples) {
  std::array<CrossEntropy, 3> at;  // one early, right, one late
  double vocabulary = 1;
  for (const Sample* sample : samples) {
    const Probe probe = stage.train_probe(*sample);
    if (probe.targets.numel() == 0) continue;
    vocabulary = static_cast<double>(probe.logits.size(1));
    const torch::Tensor log_probabilities = probe.logits.to(torch::kFloat32).log_softmax(1);
    const torch::Tensor targets = probe.targets.to(log_probabilities.device());
    for (int64_t i = 0; i < 3; ++i) {
      at[static_cast<size_t>(i)].add(log_probabilities, targets, i - 1);
    }
  }
  const double early = at[0].mean(), right = at[1].mean(), late = at[2].mean();
  const double limit = kKnowing * std::log(vocabulary);
  const std::string numbers =
      detail::concatenate("cross entropy ", right, " at the right frame, ", early, " one early, ",
                          late, " one late; ln V is ", std::log(vocabulary));
  if (at[0].frames < kFewestFrames || std::min({early, right, late}) >= limit) {
    log_info("frame offset undecided: ", numbers);
    return OffsetVerdict::kUndecided;
  }
  if (right < std::min(early, late)) {
    log_info("frame offset right: ", numbers);
    return OffsetVerdict::kRight;
  }
  throw CheckError(
      "targets are at the wrong frame: " + numbers, "the first batch",
      "a checkpoint that another tool trained with shifted labels looks like this too");
}

void check_first_step(Stage& stage, const Samples& samples, Feed& feed, torch::Dtype dtype) {
  const EvalMode eval(stage);
  std::vector<const Sample*> chosen;
  StepBatches step;
  for (const auto& rows : feed.rows({}).first) {
    std::vector<const Sample*> batch;
    for (const int64_t row : rows) batch.push_back(samples[static_cast<size_t>(row)].get());
    for (const Sample* sample : batch) {
      if (chosen.size() < kOffsetSamples) chosen.push_back(sample);
    }
    step.batches.push_back(stage.collate(batch));
  }
  check_terms(stage, step);
  // Decoding takes a pass per frame: the shortest clip will do.
  const auto shortest =
      std::min_element(samples.begin(), samples.end(),
                       [](const auto& a, const auto& b) { return a->length < b->length; });
  check_decoding(stage, **shortest, dtype == torch::kBFloat16 ? kToleranceBf16 : kToleranceFp32);
  check_frame_offset(stage, chosen);
}

}  // namespace ttsft
