// Losses against upstream's modules, and the guards against a loss that means nothing.
#include "models/chatterbox/objective.h"

#include <gtest/gtest.h>

#include "tests/models/chatterbox/chatterbox_fixture.h"
#include "ttsft/io/json_reader.h"
#include "ttsft/model/loss_sums.h"

namespace ttsft::chatterbox::test {
namespace {

nlohmann::ordered_json expected_eval() {
  return read_json_object(fixture().path("expected/eval.json"));
}

LossTotals measure(LmStage& stage, const std::vector<const Sample*>& rows) {
  torch::NoGradGuard no_grad;
  LossSums sums;
  const auto batch = stage.collate(rows, {});
  sums.add(*batch, stage.loss(*batch, {.accuracy = true}));
  return sums.totals();
}

void expect_losses(const LossTotals& totals, const nlohmann::ordered_json& want,
                   const std::string& what) {
  const auto near = [&](double got, const char* key) {
    const double value = want[key].get<double>();
    EXPECT_NEAR(got, value, 1e-4 * value) << what << " " << key;
  };
  near(totals.terms.at("text").mean(), "loss_text");
  near(totals.terms.at("speech").mean(), "loss_speech");
  near(totals.loss(), "loss");
  EXPECT_EQ(totals.terms.at("text").tokens, want["n_text"]) << what;
  EXPECT_EQ(totals.terms.at("speech").tokens, want["n_speech"]) << what;
}

TEST(Objective, EveryUtteranceAlone) {
  PreparedRun run;
  const auto stage = run.stage();
  const auto samples = run.samples(*stage);
  const auto want = expected_eval()["per_utterance"];
  for (size_t i = 0; i < samples.size(); ++i) {
    const LossTotals totals = measure(*stage, {samples[i].get()});
    expect_losses(totals, want[i], samples[i]->id);
    EXPECT_EQ(totals.terms.at("text").correct.value(), want[i]["top1_correct_text"]);
    EXPECT_EQ(totals.terms.at("speech").correct.value(), want[i]["top1_correct_speech"]);
  }
}

// Rows are contiguous, so a padded batch is the sum of its rows; upstream's padding between text
// and speech gives 5.687 for the speech where 4.947 is right.
TEST(Objective, BatchIsTheSumOfItsRows) {
  PreparedRun run;
  const auto stage = run.stage();
  const auto samples = run.samples(*stage);
  expect_losses(measure(*stage, pointers(samples)), expected_eval()["batch"], "batch");
}

TEST(Objective, RowsAreContiguousAndPaddedAtTheEnd) {
  PreparedRun run;
  const auto stage = run.stage();
  const auto samples = run.samples(*stage);
  const auto batch = stage->collate(pointers(samples), {});
  const auto& b = static_cast<const SpeechBatch&>(*batch);
  for (int64_t row = 0; row < b.rows; ++row) {
    std::vector<int64_t> places;
    for (const torch::Tensor& part : {b.condition_position, b.text.position, b.speech.position}) {
      const torch::Tensor own = part.masked_select(part.div(b.time, "floor") == row);
      for (int64_t i = 0; i < own.size(0); ++i) places.push_back(own[i].item<int64_t>());
    }
    for (size_t i = 0; i < places.size(); ++i)
      EXPECT_EQ(places[i], row * b.time + static_cast<int64_t>(i));
    EXPECT_EQ(static_cast<int64_t>(places.size()), samples[static_cast<size_t>(row)]->length);
  }
  EXPECT_EQ(b.positions - b.padding, samples[0]->length + samples[1]->length + samples[2]->length);
}

// "loss = 0.0": community trainers mask the first 150 codes, which leaves clips of less than 6 s
// without a label. Here every code and the stop is a label, however short the clip is.
TEST(Objective, ShortClipsHaveAllTheirLabels) {
  PreparedRun run;
  const auto stage = run.stage();
  for (const auto& sample : run.samples(*stage)) {
    const Sample* row = sample.get();
    const auto batch = stage->collate(std::span(&row, 1), {});
    const auto& s = static_cast<const SpeechSample&>(*sample);
    EXPECT_EQ(batch->supervised.at("speech"), s.speech.size(0) - 1);
    EXPECT_EQ(batch->supervised.at("text"), s.text.size(0) - 1);
    const auto& b = static_cast<const SpeechBatch&>(*batch);
    EXPECT_EQ(b.speech.label[0].item<int64_t>(), s.speech[1].item<int64_t>());
    EXPECT_EQ(b.speech.label[-1].item<int64_t>(), kStopSpeech);
  }
}

TEST(Objective, HiddenTextKeepsItsPlacesAndHasNoLabels) {
  PreparedRun run;
  run.options().text_drop = 0.5;
  const auto stage = run.stage();
  const auto samples = run.samples(*stage);
  const auto rows = pointers(samples);
  const auto same = [](const Batch& a, const Batch& b) { return a.supervised == b.supervised; };
  bool some_hidden = false, some_shown = false;
  for (uint64_t seed = 0; seed < 8; ++seed) {
    const Draw draw{.training = true, .seed = seed};
    const auto batch = stage->collate(rows, draw);
    const auto& b = static_cast<const SpeechBatch&>(*batch);
    EXPECT_TRUE(same(*batch, *stage->collate(rows, draw))) << "the seed decides";
    some_hidden = some_hidden || b.text_shown.defined();
    some_shown = some_shown || b.supervised.at("text") > 0;
    EXPECT_EQ(b.supervised.at("speech"), 95) << "speech is learned without its text too";
    const auto terms = stage->loss(*batch, {});
    for (const LossTerm& term : terms)
      EXPECT_EQ(static_cast<double>(term.value.numel()), b.supervised.at(term.name)) << term.name;
  }
  EXPECT_TRUE(some_hidden && some_shown);

  const Objective objective(read_config(run.config.checkpoint).t3, run.options());
  const auto* first = static_cast<const SpeechSample*>(samples[0].get());
  const SpeechBatch shown = objective.collate(std::span(&first, 1));
  const SpeechBatch hidden = objective.collate(std::span(&first, 1), {true});
  expect_equal(hidden.text.position, shown.text.position, "places");
  EXPECT_EQ(hidden.text.label.numel(), 0);
}

TEST(Objective, WeightsOfTheTerms) {
  PreparedRun run;
  run.options().text_weight = 0;
  run.options().speech_weight = 2;
  const auto stage = run.stage();
  const auto samples = run.samples(*stage);
  const LossTotals totals = measure(*stage, pointers(samples));
  EXPECT_EQ(totals.terms.count("text"), 0u) << "a term without weight is not computed";
  EXPECT_NEAR(totals.loss(), 2 * expected_eval()["batch"]["loss_speech"].get<double>(), 1e-3);
}

}  // namespace
}  // namespace ttsft::chatterbox::test
