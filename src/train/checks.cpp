#include "checks.h"

#include <algorithm>
#include <cmath>

#include "ttsft/core/error.h"
#include "ttsft/core/log.h"

namespace ttsft {
namespace {

constexpr double kToleranceFp32 = 1e-3, kToleranceBf16 = 5e-2;  // of the largest logit
constexpr double kKnowing = 0.8;       // share of ln V below which a model knows something
constexpr double kSignature = 0.2;     // share of ln V that a wrong place is better by
constexpr double kErrors = 5;          // standard errors that make a difference
constexpr int64_t kFewestTokens = 16;  // fewer say nothing about a mean
constexpr size_t kOffsetSamples = 8;

// Losses at a neighbouring place, and how much those at the right one are above them, one by one.
struct Neighbour {
  std::vector<torch::Tensor> losses, gains;  // [n] each, float64

  // Logits [N, ..., V] of place i are compared with the target [N, ...] of place i + offset.
  void add(const torch::Tensor& log_probabilities, const torch::Tensor& targets, int64_t offset) {
    const int64_t n = targets.size(0) - std::abs(offset);
    if (n <= 0) return;
    const int64_t from = std::max<int64_t>(0, -offset);
    const torch::Tensor p = log_probabilities.narrow(0, from, n);
    const auto loss = [&](int64_t shift) {
      const torch::Tensor t = targets.narrow(0, from + shift, n).unsqueeze(-1);
      return p.gather(-1, t).flatten().neg().to(torch::kCPU, torch::kFloat64);
    };
    losses.push_back(loss(offset));
    gains.push_back(loss(0) - losses.back());
  }
  int64_t tokens() const {
    int64_t sum = 0;
    for (const torch::Tensor& part : losses) sum += part.size(0);
    return sum;
  }
  double mean() const { return torch::cat(losses).mean().item<double>(); }
  double gain() const { return torch::cat(gains).mean().item<double>(); }
  double error() const {  // of gain()
    const torch::Tensor all = torch::cat(gains);
    return all.std().item<double>() / std::sqrt(static_cast<double>(all.size(0)));
  }
};

// Are the targets at the place before or behind, along the first axis of the probes? `place`: its
// name.
OffsetVerdict check_offset(const std::vector<Probe>& probes, const std::string& place) {
  Neighbour early, right, late;
  double vocabulary = 1;
  for (const Probe& probe : probes) {
    if (probe.targets.numel() == 0) continue;
    vocabulary = static_cast<double>(probe.logits.size(-1));
    const torch::Tensor log_probabilities = probe.logits.to(torch::kFloat32).log_softmax(-1);
    const torch::Tensor targets = probe.targets.to(log_probabilities.device());
    early.add(log_probabilities, targets, -1);
    right.add(log_probabilities, targets, 0);
    late.add(log_probabilities, targets, 1);
  }
  if (early.tokens() < kFewestTokens) {
    log_info(place, " undecided: ", early.tokens(), " tokens say nothing");
    return OffsetVerdict::kUndecided;
  }
  const double all = std::log(vocabulary);
  const std::string numbers =
      detail::concatenate("cross entropy ", right.mean(), " at the right ", place, ", ",
                          early.mean(), " one early, ", late.mean(), " one late; ln V is ", all);
  for (const Neighbour* wrong : {&early, &late}) {
    // Written so that what is not a number refuses nothing: `supervised` does.
    if (wrong->mean() < kKnowing * all && wrong->gain() > kErrors * wrong->error() &&
        wrong->gain() > kSignature * all) {
      throw CheckError("targets are at the wrong " + place + ": " + numbers, "the first batches",
                       "a checkpoint that another tool trained with shifted labels looks like this "
                       "too");
    }
  }
  const bool knows = right.mean() < kKnowing * all;
  const auto beaten = [](const Neighbour& wrong) {
    return -wrong.gain() > kErrors * wrong.error();
  };
  if (knows && beaten(early) && beaten(late)) {
    log_info(place, " right: ", numbers);
    return OffsetVerdict::kRight;
  }
  log_info(place, " undecided: ", numbers);
  return OffsetVerdict::kUndecided;
}

// Weighted sum of the terms' means over a batch.
torch::Tensor loss_of(Stage& stage, const Batch& batch) {
  torch::Tensor total;
  for (const LossTerm& term : stage.loss(batch, {})) {
    const double tokens = batch.supervised.at(term.name);
    if (tokens <= 0) continue;
    const torch::Tensor part = term.value.sum() * (term.weight / tokens);
    total = total.defined() ? total + part : part;
  }
  return total;
}

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
      const double columns = term.value.dim() == 2 ? static_cast<double>(term.value.size(1)) : 1.0;
      const double given = term.share.defined()
                               ? term.share.sum(torch::kFloat64).item<double>() * columns
                               : static_cast<double>(term.value.numel());
      if (counted == batch->supervised.end() ||
          std::abs(counted->second - given) > 1e-6 * std::max(1.0, given)) {
        throw CheckError(detail::concatenate("loss term ", term.name, " gives ", given,
                                             " losses but counts other tokens"),
                         where);
      }
      const double sum = term.value.sum(torch::kFloat64).item<double>();
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

void check_decoding(LanguageStage& stage, const Sample& sample, double tolerance) {
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

OffsetVerdict check_frame_offset(const std::vector<Probe>& probes) {
  return check_offset(probes, "frame");
}

OffsetVerdict check_codebook_offset(std::vector<Probe> probes) {
  for (Probe& probe : probes) probe = {probe.logits.transpose(0, 1), probe.targets.transpose(0, 1)};
  return check_offset(probes, "codebook");
}

void check_draws(Stage& stage, const std::vector<const Sample*>& samples) {
  const Draw draw{.training = true, .seed = 1};
  const auto one = stage.loss(*stage.make_batch(samples, draw), {}),
             two = stage.loss(*stage.make_batch(samples, draw), {});
  for (size_t i = 0; i < one.size(); ++i) {
    if (torch::allclose(one[i].value, two.at(i).value, 1e-3, 1e-5)) continue;
    throw CheckError("loss term " + one[i].name + " differs between two batches of one draw",
                     "the first batch", "a resumed run would not go on as it began");
  }
}

void check_gradient(Stage& stage, const Batch& batch, const std::vector<torch::Tensor>& trained) {
  const torch::AutoGradMode with_gradients(true);
  const torch::Tensor before = loss_of(stage, batch);
  if (!before.defined() || !before.requires_grad()) return;  // train says what is missing
  const auto gradients = torch::autograd::grad({before}, trained, /*grad_outputs=*/{},
                                               /*retain_graph=*/false, /*create_graph=*/false,
                                               /*allow_unused=*/true);
  const torch::NoGradGuard no_grad;
  const double loss = before.item<double>();
  double square = 0;
  std::vector<torch::Tensor> kept;
  for (size_t i = 0; i < trained.size(); ++i) {
    kept.push_back(trained[i].detach().clone());
    if (gradients[i].defined()) square += gradients[i].square().sum(torch::kFloat64).item<double>();
  }
  double after = loss;
  // To first order the loss falls by these shares. A large step may overshoot, a small one drowns
  // in rounding: one that works is proof.
  for (const double share : {1e-2, 1e-3, 1e-1}) {
    const double rate = square > 0 ? share * std::abs(loss) / square : 0.0;
    for (size_t i = 0; i < trained.size(); ++i) {
      if (gradients[i].defined()) torch::Tensor(trained[i]).sub_(gradients[i], rate);
    }
    after = loss_of(stage, batch).item<double>();
    for (size_t i = 0; i < trained.size(); ++i) torch::Tensor(trained[i]).copy_(kept[i]);
    if (after < loss) {
      log_info("the loss falls along its gradient: ", loss, " to ", after);
      return;
    }
  }
  throw CheckError(
      detail::concatenate("the loss does not fall along its gradient: ", loss, " to ", after),
      "the first batch", "what is trained does not reach the loss as it should");
}

void check_first_step(Stage& stage, const Samples& samples, Feed& feed, torch::Dtype dtype,
                      const std::vector<torch::Tensor>& trained,
                      const std::map<std::string, std::string>& actions) {
  const EvalMode eval(stage);
  const auto run = [&](const std::string& name, const auto& check) {
    const auto chosen = actions.find(name);
    const std::string action = chosen == actions.end() ? "refuse" : chosen->second;
    if (action == "off") return;
    try {
      check();
    } catch (const CheckError& error) {
      if (action == "warn") {
        log_warning(error.what());
        return;
      }
      throw CheckError(std::string(error.what()) +
                       "; to train all the same, give --set train.checks." + name + "=warn");
    }
  };
  StepBatches step;
  std::vector<const Sample*> first;
  for (const auto& rows : feed.rows({}).first) {
    std::vector<const Sample*> batch;
    for (const int64_t row : rows) batch.push_back(samples[static_cast<size_t>(row)].get());
    step.batches.push_back(stage.make_batch(batch, Draw{}));
    if (first.empty()) first = batch;
  }
  run("supervised", [&] { check_terms(stage, step); });
  auto* language = dynamic_cast<LanguageStage*>(&stage);
  if (language == nullptr) {
    run("draws", [&] { check_draws(stage, first); });
    run("gradient", [&] { check_gradient(stage, *step.batches.front(), trained); });
    return;
  }
  // Decoding takes a pass per frame: the shortest clip will do.
  const auto shortest =
      std::min_element(samples.begin(), samples.end(),
                       [](const auto& a, const auto& b) { return a->length < b->length; });
  run("decoding", [&] {
    check_decoding(*language, **shortest,
                   dtype == torch::kBFloat16 ? kToleranceBf16 : kToleranceFp32);
  });
  run("frame_offset", [&] {
    std::vector<Probe> probes, depth;
    for (Position at; at.epoch == 0 && probes.size() < kOffsetSamples;) {
      const auto [groups, next] = feed.rows(at);
      for (const auto& rows : groups) {
        for (const int64_t row : rows) {
          if (probes.size() == kOffsetSamples) break;
          const Sample& sample = *samples[static_cast<size_t>(row)];
          probes.push_back(language->train_probe(sample));
          if (auto probe = language->depth_probe(sample)) depth.push_back(std::move(*probe));
        }
      }
      at = next;
    }
    check_frame_offset(probes);
    if (depth.empty()) return;
    check_frame_offset(depth);
    check_codebook_offset(depth);
  });
}

}  // namespace ttsft
