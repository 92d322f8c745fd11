#include "models/indextts2/objective.h"

#include <gtest/gtest.h>

#include "tests/models/indextts2/gpt_fixture.h"
#include "ttsft/model/loss_sums.h"

namespace ttsft::indextts2::test {
namespace {

class ObjectiveTest : public testing::Test {
 protected:
  SpeechBatch collate(const std::vector<size_t>& which) const {
    std::vector<const SpeechSample*> rows;
    for (const size_t i : which) rows.push_back(&samples_[i]);
    return objective_.collate(rows);
  }
  LossSums sums(const SpeechBatch& batch) {
    const torch::NoGradGuard no_grad;
    LossSums result;
    result.add(batch, objective_.loss(model_, batch, /*accuracy=*/true));
    return result;
  }

  UnifiedVoice model_ = fixture_gpt();
  Objective objective_{fixture_config().gpt, {}};
  std::vector<SpeechSample> samples_ = fixture_samples(objective_);
};

void expect_losses(const LossTotals& got, const nlohmann::json& want, const std::string& what) {
  EXPECT_NEAR(got.loss(), want["loss"].get<double>(), 1e-4) << what;
  EXPECT_NEAR(got.terms.at("text").mean(), want["text_loss"].get<double>(), 1e-4) << what;
  EXPECT_NEAR(got.terms.at("mel").mean(), want["mel_loss"].get<double>(), 1e-4) << what;
  EXPECT_EQ(got.terms.at("text").tokens, want["text_label_tokens"].get<int64_t>()) << what;
  EXPECT_EQ(got.terms.at("mel").tokens, want["mel_label_tokens"].get<int64_t>()) << what;
}

TEST_F(ObjectiveTest, UtterancesHaveUpstreamsLosses) {
  const nlohmann::json& utterances = expected_json("eval")["utterances"];
  ASSERT_EQ(utterances.size(), samples_.size());
  for (size_t i = 0; i < samples_.size(); ++i) {
    EXPECT_EQ(samples_[i].id, utterances[i]["id"]);
    expect_losses(sums(collate({i})).totals(), utterances[i], samples_[i].id);
  }
}

TEST_F(ObjectiveTest, ABatchIsTheMeanOverItsTokens) {
  const LossSums together = sums(collate({0, 1, 2, 3}));
  expect_losses(together.totals(), expected_json("eval")["batch_exact"], "batch");
  // A row's loss does not depend on its neighbours.
  for (const auto& row : expected_json("eval")["utterances"])
    expect_losses(together.utterances().at(row["id"]), row, row["id"]);
}

TEST_F(ObjectiveTest, RightCodesAreCounted) {
  const nlohmann::json& want = expected_json("eval")["accuracy_case"];
  SpeechSample sample = samples_[0];  // "condition and emo_vec are those of the first line"
  sample.text = want["text_ids"].get<std::vector<int64_t>>();
  sample.codes = want["codes"].get<std::vector<int64_t>>();
  const SpeechSample* row = &sample;
  const LossTotals got = sums(objective_.collate(std::span(&row, 1))).totals();
  EXPECT_NEAR(got.terms.at("text").mean(), want["text_loss"].get<double>(), 1e-4);
  EXPECT_NEAR(got.terms.at("mel").mean(), want["mel_loss"].get<double>(), 1e-4);
  const auto& mel = got.terms.at("mel");
  EXPECT_EQ(mel.tokens, want["mel_label_tokens"].get<int64_t>());
  EXPECT_NEAR(static_cast<double>(*mel.correct) / mel.tokens, want["mel_top1"].get<double>(), 1e-6);
}

TEST_F(ObjectiveTest, StagesOfOneUtteranceAreUpstreams) {
  const torch::NoGradGuard no_grad;
  const SpeechBatch batch = collate({1});  // target b
  const torch::Tensor inputs = objective_.embed(model_, batch);
  const int64_t time = inputs.size(1);  // upstream's sequence ends with one stop token more
  const auto head = [&](const char* name) { return expected("layers", name).narrow(0, 0, time); };
  ASSERT_EQ(expected("layers", "eval.inputs_embeds").size(0), time + 1);
  expect_close(inputs[0], head("eval.inputs_embeds"), 1e-6);
  torch::Tensor x = inputs;
  for (int64_t i = 0; i < model_->gpt->options().layers; ++i) {
    x = model_->gpt->block(i)(x, Gpt2Context{.mask = {}, .causal = true}, i);
    if (i == 0) expect_close(x[0], head("eval.block0_out"), 1e-4);
  }
  expect_close(x[0], head("eval.block_last_out"), 1e-4);
  const torch::Tensor hidden = model_->gpt(inputs);
  expect_close(model_->gpt->ln_f(hidden)[0], head("eval.gpt_ln_f_out"), 1e-4);

  const int64_t prefix = fixture_config().gpt.prefix();
  const torch::Tensor states = model_->norm(hidden)[0].narrow(0, prefix, time - prefix);
  expect_close(states, expected("layers", "eval.final_norm_out").narrow(0, 0, time - prefix), 1e-4);
  const torch::Tensor text = expected("layers", "eval.text_logits");
  expect_close(model_->text_head(states.narrow(0, 0, text.size(0))), text, 1e-3);
  const torch::Tensor mel = expected("layers", "eval.mel_logits_first64");
  const torch::Tensor logits = model_->mel_head(states.narrow(0, text.size(0), mel.size(0) - 1));
  expect_close(logits.narrow(1, 0, 64), mel.narrow(0, 0, mel.size(0) - 1), 1e-3);
}

TEST_F(ObjectiveTest, LaysOutRowsWithoutHoles) {
  const GptConfig& config = fixture_config().gpt;
  const SpeechBatch batch = collate({1, 3});
  const int64_t longest = std::max(samples_[1].length, samples_[3].length);
  EXPECT_EQ(batch.positions, 2 * longest);
  EXPECT_EQ(batch.padding, 2 * longest - samples_[1].length - samples_[3].length);
  EXPECT_EQ(batch.ids, (std::vector<std::string>{samples_[1].id, samples_[3].id}));
  EXPECT_EQ(batch.supervised.at("text"),
            std::ssize(samples_[1].text) + 1 + std::ssize(samples_[3].text) + 1);
  EXPECT_EQ(batch.supervised.at("mel"),
            std::ssize(samples_[1].codes) + 1 + std::ssize(samples_[3].codes) + 1);
  // All places of row 0 are used once, one after the other; what follows is padding.
  const torch::Tensor places =
      std::get<0>(torch::cat({batch.prefix_at, batch.text.position, batch.mel.position}).sort());
  const torch::Tensor wanted = torch::cat(
      {torch::arange(samples_[1].length), torch::arange(longest, longest + samples_[3].length)});
  expect_equal(places, wanted);
  // The state that predicts the first code is the start token's, behind the text's stop token.
  const int64_t start = config.prefix() + std::ssize(samples_[1].text) + 2;
  EXPECT_EQ(batch.mel.label_position[0].item<int64_t>(), start);
  EXPECT_EQ(batch.mel.label[0].item<int64_t>(), samples_[1].codes[0]);
  EXPECT_EQ(batch.text.label[0].item<int64_t>(), samples_[1].text[0]);
  const int64_t last = std::ssize(samples_[1].codes);
  EXPECT_EQ(batch.mel.label[last].item<int64_t>(), config.stop_mel_token);
  EXPECT_EQ(batch.mel.label_row[last].item<int64_t>(), 0);
  EXPECT_EQ(batch.mel.label_row[last + 1].item<int64_t>(), 1);
}

TEST_F(ObjectiveTest, ZeroPaddingChangesNothingAndGetsNoGradient) {
  // One long and one short row: gradients are the sums of those alone.
  const auto gradients = [&](const std::vector<std::vector<size_t>>& batches) {
    model_->zero_grad();
    for (const auto& which : batches) {
      const SpeechBatch batch = collate(which);
      torch::Tensor total = torch::zeros({});
      for (const LossTerm& term : objective_.loss(model_, batch, false))
        total = total + term.weight * term.value.sum();
      total.backward();
    }
    std::map<std::string, torch::Tensor> result;
    for (const auto& item : model_->named_parameters())
      result[item.key()] = item.value().grad().clone();
    return result;
  };
  const auto alone = gradients({{1}, {3}}), together = gradients({{1, 3}});
  for (const auto& [name, gradient] : alone) {
    expect_close(together.at(name), gradient, 1e-4 * (1 + gradient.abs().max().item<double>()),
                 name);
  }
}

}  // namespace
}  // namespace ttsft::indextts2::test
