// What the language model hears and how its codes are chosen, against upstream's.
#include "models/cosyvoice3/generate.h"

#include <gtest/gtest.h>

#include <numeric>

#include "tests/models/cosyvoice3/cosyvoice3_fixture.h"
#include "ttsft/io/torch_file.h"
#include "ttsft/nn/noise.h"
#include "ttsft/nn/token_rules.h"

namespace ttsft::cosyvoice3::test {
namespace {

using Ids = std::vector<int64_t>;

const Config& config() {
  static const Config read = read_config(fixture().path("checkpoint"));
  return read;
}

DecodingPlan sampled_plan() {
  return decoding_plan(config().lm, config().ras, /*greedy=*/false, 100, torch::kCPU);
}

TEST(Sampling, CandidatesAreUpstreams) {
  const DecodingPlan plan = sampled_plan();
  for (const auto& one : expected_json("sampling")["ras"]) {
    const torch::Tensor scores = torch::tensor(one["log_probs"].get<std::vector<float>>());
    const torch::Tensor kept = filter_scores(scores.unsqueeze(0), plan.sampling)[0];
    const torch::Tensor ids = torch::tensor(one["candidates"].get<Ids>());
    EXPECT_EQ(kept.isfinite().sum().item<int64_t>(), ids.numel());
    expect_close(scores.softmax(0).index_select(0, ids),
                 torch::tensor(one["candidate_probs"].get<std::vector<float>>()), 1e-6);
    EXPECT_TRUE(kept.index_select(0, ids).isfinite().all().item<bool>());
  }
}

// Of many rows that have just said the likeliest id: it never comes again, and the others come as
// often as two draws of upstream's let them.
TEST(Sampling, WhatWasJustSaidIsDrawnAnewFromAllTheRest) {
  constexpr int64_t kRows = 40000;
  const DecodingPlan plan = sampled_plan();
  Ids seeds(kRows);
  std::iota(seeds.begin(), seeds.end(), 1);
  const NoiseSource noise(
      seed_words(std::vector<uint64_t>(seeds.begin(), seeds.end()), torch::kCPU),
      torch::zeros({kRows}, torch::kInt64));
  const auto& one = expected_json("sampling")["ras"][0];
  const torch::Tensor scores = torch::tensor(one["log_probs"].get<std::vector<float>>());
  const auto said = one["candidates"][0].get<int64_t>();
  TokenHistory history{torch::zeros({kRows, scores.numel()}, torch::kBool),
                       torch::full({kRows, 8}, said, torch::kInt64),
                       torch::ones({kRows}, torch::kInt64)};
  const torch::Tensor chosen =
      choose_tokens(scores.expand({kRows, -1}), plan.sampling, plan.aware, history, noise);
  const torch::Tensor often =
      torch::bincount(chosen, {}, scores.numel()).to(torch::kFloat64) / kRows;
  EXPECT_EQ(often[said].item<double>(), 0.0);
  torch::Tensor first = filter_scores(scores.unsqueeze(0), plan.sampling)[0].softmax(0);
  const double again = first[said].item<double>();
  torch::Tensor rest = scores.clone();
  rest[said] = -INFINITY;
  const torch::Tensor fallback = rest.softmax(0);
  expect_close(fallback.narrow(0, 0, 5),
               torch::tensor(one["fallback_probs_first5"].get<std::vector<float>>()), 1e-6);
  first[said] = 0;
  const torch::Tensor wanted = (first + again * fallback).to(torch::kFloat64);
  const torch::Tensor deviation = (wanted * (1 - wanted) / kRows).sqrt();
  EXPECT_LT(((often - wanted).abs() / deviation.clamp_min(1e-4)).max().item<double>(), 4.5);
}

TEST(SilenceFilter, IsUpstreams) {
  for (const auto& one : expected_json("sampling")["silent_filter"]) {
    const Ids codes = one["tokens"].get<Ids>();
    expect_equal(without_long_silence(torch::tensor(codes, torch::kInt64)),
                 torch::tensor(one["kept"].get<Ids>(), torch::kInt64), one.dump());
  }
}

TEST(Prompt, OfEveryModeIsWhatUpstreamHears) {
  const torch::InferenceMode inference;
  Lm lm = load_lm(open_tensor_file(fixture().path("checkpoint/llm.pt")), config().lm, torch::kCPU,
                  torch::kFloat32);
  SpeechModel model(lm, config().lm, {2, 20}, torch::TensorOptions());
  for (const char* mode : {"zero_shot", "instruct2", "cross_lingual", "sft"}) {
    const auto& heard = expected_json("synth")[mode]["llm_inputs"];
    const Ids text = heard["text"][0].get<Ids>();
    const LmPrompt given{heard["prompt_text"][0].get<Ids>(),
                         heard["prompt_speech_token"][0].get<Ids>()};
    const RowPrompt prompt = model.prompt(given, text);
    const auto ids = [](Ids values) { return torch::tensor(values, torch::kInt64); };
    const torch::Tensor wanted =
        torch::cat({lm->speech(ids({6561})), lm->text(ids(given.text)), lm->text(ids(text)),
                    lm->speech(ids({6563})), lm->speech(ids(given.codes))});
    expect_equal(prompt.inputs, wanted, mode);
    EXPECT_EQ(prompt.at_least, 2 * std::ssize(text)) << "the prompt's words do not count";
    EXPECT_EQ(prompt.at_most, 20 * std::ssize(text));
  }
}

TEST(Plan, NothingEndsARowBeforeItsTime) {
  const DecodingPlan plan = sampled_plan();
  EXPECT_EQ(std::ssize(plan.end), 200) << "every id behind the codes";
  EXPECT_EQ(plan.end.front(), 6561);
  TokenHistory history{torch::zeros({2, 6761}, torch::kBool), torch::zeros({2, 8}, torch::kInt64),
                       torch::tensor({3, 4}), torch::tensor({4, 4})};
  const torch::Tensor scores = apply_rules(plan.rules, torch::zeros({2, 6761}), history);
  const torch::Tensor ends = scores.narrow(1, 6561, 200).isfinite();
  EXPECT_FALSE(ends[0].any().item<bool>()) << "upstream bans 6561 alone";
  EXPECT_TRUE(ends[1].all().item<bool>());
  EXPECT_TRUE(scores.narrow(1, 0, 6561).isfinite().all().item<bool>());
}

}  // namespace
}  // namespace ttsft::cosyvoice3::test
