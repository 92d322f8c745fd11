#include "models/cosyvoice3/generate.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

namespace ttsft::cosyvoice3 {
namespace {

constexpr int64_t kLongestSilence = 5;
constexpr std::array<int64_t, 11> kSilent = {1, 2, 28, 29, 55, 248, 494, 2241, 2242, 2322, 2323};

}  // namespace

RowPrompt SpeechModel::prompt(const LmPrompt& given, const std::vector<int64_t>& text) {
  const auto ids = [&](const std::vector<int64_t>& values) {
    return torch::tensor(values, torch::kInt64).to(options_.device());
  };
  std::vector<int64_t> words = given.text;
  words.insert(words.end(), text.begin(), text.end());
  std::vector<int64_t> speech = {config_.task_id()};
  speech.insert(speech.end(), given.codes.begin(), given.codes.end());
  RowPrompt prompt;
  prompt.inputs = torch::cat(
      {lm_->speech(ids({config_.sos()})), lm_->text(ids(words)), lm_->speech(ids(speech))});
  const auto tokens = static_cast<double>(text.size());
  prompt.at_least = static_cast<int64_t>(limits_.least * tokens);
  prompt.at_most = static_cast<int64_t>(limits_.most * tokens);
  return prompt;
}

KvCache SpeechModel::make_cache(int64_t rows, int64_t capacity) const {
  return lm_->model->make_cache(rows, capacity, options_);
}

torch::Tensor SpeechModel::forward(const torch::Tensor& x, KvCache& cache) {
  return lm_->model->forward(x, {}, {}, &cache);
}

torch::Tensor SpeechModel::logits(const torch::Tensor& state) {
  return lm_->llm_decoder(state).to(torch::kFloat32);
}

DecodingPlan decoding_plan(const LmConfig& config, const RasConfig& ras, bool greedy,
                           int64_t max_codes, torch::Device device) {
  DecodingPlan plan;
  plan.sampling.greedy = greedy;
  plan.sampling.top_k = ras.top_k;
  plan.sampling.top_p = ras.top_p;
  plan.sampling.top_p_first = true;
  RepetitionAware aware;
  aware.window = ras.win_size;
  aware.times = std::max<int64_t>(
      1, static_cast<int64_t>(std::ceil(static_cast<double>(ras.win_size) * ras.tau_r - 1e-9)));
  aware.without_first = true;
  plan.aware = aware;
  plan.end.resize(static_cast<size_t>(kSpecialRows));
  std::iota(plan.end.begin(), plan.end.end(), config.codes);
  const torch::Tensor behind =
      torch::arange(config.speech_rows(), torch::kInt64).ge(config.codes).to(device);
  plan.rules.push_back(no_end_before_own(behind));
  plan.max_frames = max_codes;
  return plan;
}

torch::Tensor without_long_silence(const torch::Tensor& codes) {
  std::vector<int64_t> kept;
  int64_t silent = 0;
  const torch::Tensor all = codes.flatten().contiguous();
  const auto* code = all.data_ptr<int64_t>();
  for (int64_t i = 0; i < all.numel(); ++i) {
    const bool silence = std::find(kSilent.begin(), kSilent.end(), code[i]) != kSilent.end();
    silent = silence ? silent + 1 : 0;
    if (silent <= kLongestSilence) kept.push_back(code[i]);
  }
  return torch::tensor(kept, torch::kInt64);
}

}  // namespace ttsft::cosyvoice3
