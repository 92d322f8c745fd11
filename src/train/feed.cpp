#include "feed.h"

#include <algorithm>
#include <utility>

#include "ttsft/core/strings.h"
#include "ttsft/nn/rng.h"

namespace ttsft {
namespace {

constexpr size_t kShownIds = 8;

std::vector<int64_t> lengths_of(const Samples& samples) {
  std::vector<int64_t> lengths;
  for (const auto& sample : samples) lengths.push_back(sample->length);
  return lengths;
}

}  // namespace

std::vector<std::string> StepBatches::ids() const {
  std::vector<std::string> all;
  for (const auto& batch : batches) all.insert(all.end(), batch->ids.begin(), batch->ids.end());
  return all;
}

std::map<std::string, double> StepBatches::supervised() const {
  std::map<std::string, double> tokens;
  for (const auto& batch : batches) {
    for (const auto& [term, count] : batch->supervised) tokens[term] += count;
  }
  return tokens;
}

Feed::Feed(const Stage& stage, const Samples& samples, SamplerOptions options, int64_t accumulate,
           torch::Device device, Purpose purpose, const Replay* replay)
    : stage_(stage),
      samples_(samples),
      sampler_(lengths_of(samples), options),
      accumulate_(accumulate),
      device_(device),
      seed_(options.seed),
      purpose_(purpose),
      replay_(replay) {}

void Feed::seek(Position position, int64_t step) {
  if (ahead_.valid()) ahead_.wait();
  ahead_ = {};
  position_ = position;
  step_ = step;
}

StepBatches Feed::next() {
  if (!ahead_.valid()) ahead_ = start(position_, step_);
  StepBatches step = ahead_.get();
  position_ = step.next;
  ahead_ = start(position_, ++step_);
  for (const auto& batch : step.batches) move_to(*batch, device_);
  return step;
}

int64_t Feed::steps_in_epoch(int64_t epoch) {
  return (std::ssize(sampler_.epoch(epoch)) + accumulate_ - 1) / accumulate_;
}

std::pair<std::vector<std::vector<int64_t>>, Position> Feed::rows(Position at) {
  const auto& epoch = sampler_.epoch(at.epoch);
  const int64_t end = std::min(at.batch + accumulate_, std::ssize(epoch));
  const bool finished = end == std::ssize(epoch);
  return {{epoch.begin() + at.batch, epoch.begin() + end},
          finished ? Position{at.epoch + 1, 0} : Position{at.epoch, end}};
}

std::future<StepBatches> Feed::start(Position at, int64_t number) {
  auto [groups, after] = rows(at);
  return worker_.submit([this, at, number, groups = std::move(groups), after = after] {
    const torch::NoGradGuard no_grad;
    StepBatches step;
    step.next = after;
    step.step = number;
    int64_t place = at.batch;
    for (const auto& group : groups) {
      std::vector<const Sample*> chosen;
      for (const int64_t row : group) chosen.push_back(samples_[static_cast<size_t>(row)].get());
      const std::string purpose =
          "batch " + std::to_string(at.epoch) + " " + std::to_string(place++);
      step.batches.push_back(stage_.collate(
          chosen, {purpose_ == Purpose::kTraining, derive_seed(seed_, purpose), replay_, number}));
      if (device_.is_cuda()) pin(*step.batches.back());
    }
    return step;
  });
}

std::string id_list(std::vector<std::string> ids) {
  const size_t all = ids.size();
  if (all <= kShownIds) return join(ids, ", ");
  ids.resize(kShownIds);
  return join(ids, ", ") + " and " + std::to_string(all - kShownIds) + " more";
}

}  // namespace ttsft
