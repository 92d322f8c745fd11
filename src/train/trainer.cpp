#include "trainer.h"

#include <cmath>
#include <exception>

#include "ttsft/core/error.h"
#include "ttsft/core/log.h"
#include "ttsft/core/signals.h"
#include "ttsft/model/loss_sums.h"
#include "ttsft/nn/device_memory.h"
#include "ttsft/nn/rng.h"
#include "ttsft/train/schedule.h"

namespace ttsft {
namespace {

using nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

bool due(int64_t step, int64_t every) {
  return every > 0 && step % every == 0;
}

// Runs device work; turns what LibTorch throws into one line that names the batch.
template <class Fn>
void guarded(const std::string& where, const Fn& fn) {
  try {
    fn();
  } catch (const std::exception& error) {
    if (is_out_of_memory(error)) {
      throw RunError("out of memory", where,
                     "lower train.batch_tokens (or batch_utterances) and raise train.accumulate, "
                     "set train.activation_checkpointing: true, or use precision: bf16");
    }
    const auto* torch_error = dynamic_cast<const c10::Error*>(&error);
    if (!torch_error) throw;
    const std::string text = torch_error->what_without_backtrace();
    throw RunError("LibTorch failed: " + text, where);
  }
}

// "step 3: largest batch 4 clips, 8192 positions (a, b, c, d)"
std::string place(int64_t step, const StepBatches& batches) {
  const Batch* largest = batches.batches.front().get();
  for (const auto& batch : batches.batches) {
    if (batch->positions > largest->positions) largest = batch.get();
  }
  return detail::concatenate("step ", step, ", largest batch ", largest->ids.size(), " clips and ",
                             largest->positions, " positions (", id_list(largest->ids), ")");
}

// Means by term, accuracies, and both by codebook where a term has codebooks.
ordered_json validation_row(int64_t step, const LossTotals& totals) {
  ordered_json row = {{"step", step}, {"validation_loss", totals.loss()}};
  ordered_json means, accuracies, codebooks;
  double tokens = 0;
  for (const auto& [name, term] : totals.terms) {
    const auto ratio = [](auto sum, double count) {
      return count > 0 ? static_cast<double>(sum) / count : 0.0;
    };
    tokens += term.tokens;
    means[name] = term.mean();
    if (term.correct) accuracies[name] = ratio(*term.correct, term.tokens);
    for (const double sum : term.sum_per_codebook) {
      codebooks[name]["loss"].push_back(ratio(sum, term.tokens_per_codebook));
    }
    for (const int64_t correct : term.correct_per_codebook) {
      codebooks[name]["accuracy"].push_back(ratio(correct, term.tokens_per_codebook));
    }
  }
  row["validation_terms"] = means;
  if (!accuracies.empty()) row["validation_accuracy"] = accuracies;
  if (!codebooks.empty()) row["validation_codebooks"] = codebooks;
  row["tokens"] = std::llround(tokens);
  return row;
}

SamplerOptions validation_order(const TrainConfig& train) {
  SamplerOptions options;
  options.batch_tokens = train.batch_tokens.value_or(0);
  options.batch_utterances = train.batch_utterances.value_or(0);
  options.shuffle = true;  // rows of like length share a batch; the sums do not depend on the order
  return options;
}

}  // namespace

Trainer::Trainer(const TrainSetup& setup, AdamW& optimizer, TrainerState state)
    : setup_(setup),
      optimizer_(optimizer),
      state_(std::move(state)),
      metrics_(setup.config.run, state_.step > 0 ? state_.step : -1) {}

bool Trainer::out_of_patience() const {
  const auto& patience = setup_.config.train.patience;
  return patience && state_.validations_without_gain() >= *patience;
}

void Trainer::run() {
  const TrainConfig& train = setup_.config.train;
  const int64_t steps = setup_.plan.steps;
  setup_.stage.module().train();
  if (state_.step == 0) validate(0);
  if (stop_signal() != 0) throw Stopped{stop_signal()};
  if (state_.step >= steps || out_of_patience()) return;
  setup_.feed.seek(state_.next, state_.step + 1);
  Progress progress("train", steps - state_.step, "steps");
  clock_ = Clock::now();
  for (bool done = false; !done;) {
    train_step(state_.step + 1);
    const int64_t step = state_.step;
    if (step == steps || due(step, train.validate_every)) validate(step);
    done = step == steps || out_of_patience();
    const int signal = stop_signal();
    if (done || signal != 0 || due(step, train.checkpoint_every)) save();
    progress.advance(1, last_row_.empty() ? "" : "loss " + number_text(last_row_["loss"], "%.4f"));
    if (signal != 0) throw Stopped{signal};
  }
  if (state_.step < steps) {
    log_info("no better validation in ", *train.patience, " in a row: stopped at step ",
             state_.step, " of ", steps);
  }
}

void Trainer::train_step(int64_t step) {
  const TrainConfig& train = setup_.config.train;
  const StepBatches batches = setup_.feed.next();
  // Dropout draws from a stream of its own in every step, so that a resumed run draws the same.
  torch::manual_seed(
      derive_seed(static_cast<uint64_t>(setup_.config.seed), "step " + std::to_string(step)));
  const double rate =
      learning_rate_at(train.schedule, train.optimizer.learning_rate, step, setup_.plan.steps);
  std::optional<Pending> now;
  guarded(place(step, batches), [&] {
    now.emplace(accumulate(step, batches));
    optimizer_.step(setup_.trainee.weights.gradients(), rate);
    setup_.trainee.weights.publish();
  });
  state_.step = step;
  state_.next = batches.next;
  const double seconds = seconds_since(clock_);
  clock_ = Clock::now();
  const auto tokens = now->row["tokens"].get<double>();
  now->row["learning_rate"] = rate;
  now->row["tokens_per_second"] = seconds > 0 ? tokens / seconds : 0.0;
  now->row["seconds"] = seconds;
  now->row["memory_bytes"] = peak_memory(setup_.context.device);
  flush();  // the step before, which the device has finished long ago
  pending_ = std::move(now);
  if (setup_.context.device.is_cpu()) flush();  // nothing to wait for
}

Trainer::Pending Trainer::accumulate(int64_t step, const StepBatches& batches) {
  const auto tokens = batches.supervised();
  std::map<std::string, Sum> sums;
  setup_.trainee.weights.begin_step();
  for (const auto& batch : batches.batches) {
    backward(*batch, tokens, sums);
    setup_.trainee.weights.collect();
  }
  if (sums.empty()) throw RunError("no supervised token", place(step, batches));
  const torch::Tensor norm =
      clip_gradients_(setup_.trainee.weights.gradients(), setup_.config.train.clip_grad_norm);
  std::vector<torch::Tensor> values;
  double supervised = 0;
  std::vector<Pending::Term> terms;
  for (const auto& [name, sum] : sums) {
    terms.push_back({name, sum.weight, tokens.at(name)});
    supervised += tokens.at(name);
    values.push_back(sum.total);
  }
  values.push_back(norm.to(values.front().device(), torch::kFloat64));
  const ordered_json row = {
      {"step", step},           {"loss", nullptr},      {"loss_terms", nullptr},
      {"grad_norm", nullptr},   {"learning_rate", 0.0}, {"tokens", std::llround(supervised)},
      {"tokens_per_second", 0}, {"seconds", 0.0},       {"memory_bytes", 0}};
  return {row, std::move(terms), batches.ids(), Readback(torch::stack(values))};
}

void Trainer::backward(const Batch& batch, const std::map<std::string, double>& tokens,
                       std::map<std::string, Sum>& sums) {
  torch::Tensor total;
  for (const LossTerm& term : setup_.stage.loss(batch, {})) {
    const auto counted = batch.supervised.find(term.name);
    // Shares stay on the device: they were compared before the first step (checks.h).
    if (counted == batch.supervised.end() ||
        (!term.share.defined() && counted->second != static_cast<double>(term.value.numel()))) {
      throw std::logic_error("loss term " + term.name + " counts other tokens than it gives");
    }
    if (tokens.at(term.name) <= 0) continue;  // 0 / 0 otherwise
    // The mean over the tokens of the whole step, whichever micro-batch they are in.
    const double share = term.weight / tokens.at(term.name);
    const torch::Tensor part = term.value.sum() * share;
    total = total.defined() ? total + part : part;
    const torch::Tensor value = term.value.detach().sum(torch::kFloat64);
    const auto [sum, first] = sums.try_emplace(term.name, Sum{term.weight, value});
    if (!first) sum->second.total = sum->second.total + value;
  }
  if (!total.defined()) return;
  if (!total.requires_grad()) {
    throw RunError("the loss does not depend on anything that is trained", id_list(batch.ids),
                   "name other layers in lora.targets");
  }
  total.backward();
}

void Trainer::flush() {
  if (!pending_) return;
  Pending pending = *std::exchange(pending_, std::nullopt);
  const std::vector<double> values = pending.values.wait();
  double loss = 0;
  ordered_json means;
  for (size_t i = 0; i < pending.terms.size(); ++i) {
    const Pending::Term& term = pending.terms[i];
    const double mean = values[i] / term.tokens;
    means[term.name] = mean;
    loss += term.weight * mean;
  }
  const double norm = values.back();
  if (!std::isfinite(loss) || loss == 0 || !std::isfinite(norm)) {
    const bool gradient = std::isfinite(loss) && loss != 0;
    throw RunError(
        detail::concatenate(gradient ? "the gradient norm is " : "the loss is ",
                            gradient ? norm : loss),
        detail::concatenate("step ", pending.row["step"], " (", id_list(pending.ids), ")"),
        "look at these clips, lower train.optimizer.learning_rate, or continue from the "
        "last checkpoint with precision: fp32");
  }
  pending.row["loss"] = loss;
  pending.row["loss_terms"] = means;
  pending.row["grad_norm"] = norm;
  metrics_.write(pending.row);
  last_row_ = std::move(pending.row);
}

void Trainer::validate(int64_t step) {
  flush();
  if (setup_.validation.empty()) return;
  const auto start = Clock::now();
  torch::nn::Module& module = setup_.stage.module();
  module.eval();
  LossSums sums;
  Feed feed(setup_.stage, setup_.validation, validation_order(setup_.config.train), 1,
            setup_.context.device, Feed::Purpose::kValidation, setup_.validation_replay);
  guarded(detail::concatenate("validation at step ", step), [&] {
    // Not inference mode: what a module caches here must serve the next training step too.
    torch::NoGradGuard no_grad;
    for (int64_t i = feed.steps_in_epoch(0); i > 0; --i) {
      const StepBatches step_batches = feed.next();
      const Batch& batch = *step_batches.batches.front();
      sums.add(batch, setup_.stage.loss(batch, {.accuracy = true}));
    }
  });
  const LossTotals totals = sums.totals();
  module.train();
  if (!std::isfinite(totals.loss())) {
    throw RunError("the validation loss is not a finite number", "step " + std::to_string(step));
  }
  ordered_json row = validation_row(step, totals);
  row["seconds"] = seconds_since(start);
  metrics_.write(row);
  state_.validations.push_back({step, totals.loss()});
  log_info("step ", step, ": validation loss ", totals.loss());
  clock_ = Clock::now();
}

void Trainer::save() {
  flush();
  save_checkpoint(setup_.config, setup_.stage, setup_.trainee, optimizer_, state_);
  clock_ = Clock::now();
}

}  // namespace ttsft
