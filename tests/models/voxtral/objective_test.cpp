// Embeddings, states and losses against upstream's modules.
#include "models/voxtral/objective.h"

#include <gtest/gtest.h>

#include "models/voxtral/voices.h"
#include "tests/models/voxtral/voxtral_fixture.h"
#include "tests/support/temporary_folder.h"
#include "ttsft/model/loss_sums.h"

namespace ttsft::voxtral::test {
namespace {

constexpr const char* kIds[] = {"a", "b", "c"};

class ObjectiveTest : public testing::Test {
 protected:
  ObjectiveTest()
      : config_(read_config(checkpoint())),
        tokenizer_(checkpoint()),
        objective_(config_, tokenizer_.prompt(), 0.1, 1.0),
        lm_(loaded_lm()) {
    // The fixture's draws in the form that replays have.
    std::vector<std::pair<std::string, torch::Tensor>> draws;
    for (const char* id : kIds) {
      const std::string from = std::string("eval.") + id + ".", to = std::string(id) + ".";
      for (const char* name : {"x0", "t", "drop"})
        draws.emplace_back(to + name, expected("train_noise", from + name).to(torch::kFloat32));
    }
    save_tensors(folder_ / "draws.safetensors", draws);
    replay_ = open_replay(folder_ / "draws.safetensors");
  }

  SpeechSample sample(const std::string& id) const {
    SpeechSample one;
    one.id = id;
    one.text = tokenizer_.encode(clip_text(id));
    one.codes = clip_codes(id).to(torch::kInt16);
    return one;
  }
  SpeechBatch batch(const VoiceRows& voice, const std::vector<std::string>& ids,
                    const torch::Tensor& weight = {}) const {
    std::vector<SpeechSample> samples;
    for (const std::string& id : ids) samples.push_back(sample(id));
    std::vector<const SpeechSample*> rows;
    for (SpeechSample& one : samples) {
      one.weight = weight;
      rows.push_back(&one);
    }
    return objective_.collate(rows, std::vector<VoiceRows>(rows.size(), voice),
                              Draw{.replay = replay_.get()});
  }
  VoiceRows reference() const { return {clip_codes("ref"), {}}; }
  LossSums losses(const SpeechBatch& batch) {
    LossSums sums;
    sums.add(batch, objective_.loss(lm_, batch, true));
    return sums;
  }
  void expect_losses(LossSums sums, const nlohmann::json& want) {
    const auto rows = sums.utterances();
    for (const auto& row : want["utterances"]) {
      const LossTotals& totals = rows.at(row["id"]);
      const auto& semantic = totals.terms.at("semantic");
      EXPECT_NEAR(semantic.mean(), row["semantic_ce"].get<double>(), 1e-4) << row["id"];
      EXPECT_NEAR(totals.terms.at("acoustic").mean(), row["acoustic_fm"].get<double>(), 2e-5);
      EXPECT_EQ(semantic.tokens, row["n_semantic_labels"].get<double>());
    }
    EXPECT_NEAR(sums.totals().loss(), want["batch"]["loss"].get<double>(), 1e-4);
  }

  const torch::NoGradGuard no_grad_;
  TemporaryFolder folder_;
  Config config_;
  Tokenizer tokenizer_;
  Objective objective_;
  Lm lm_;
  std::unique_ptr<Replay> replay_;
};

TEST_F(ObjectiveTest, RowsOfAVoiceAreUpstreams) {
  for (const char* id : {"a", "b", "c", "ref"})
    expect_near_peak(voice_rows(lm_, clip_codes(id)),
                     expected("prep", std::string(id) + ".audio_embed"), id);
}

TEST_F(ObjectiveTest, LayersAreUpstreams) {
  const SpeechBatch b = batch(reference(), {"a"});
  const torch::Tensor x = objective_.embed(lm_, b);
  expect_near_peak(x[0], expected("layers", "train.inputs_embeds"), "embedded");
  expect_equal(b.label, torch::where(expected("layers", "train.labels").eq(kEndAudio), 8192,
                                     expected("layers", "train.labels") - kSpecials)
                            .to(torch::kInt64));
  const torch::Tensor states = objective_.predicting(lm_, b);
  expect_near_peak(states, expected("layers", "train.h_pred"), "states");
  const torch::Tensor rows = lm_->acoustic_transformer->semantic_rows();
  expect_near_peak(torch::matmul(states, rows.narrow(0, 0, 128).t()),
                   expected("layers", "train.sem_logits_2_130"), "logits");
  expect_near_peak(objective_.velocity(lm_, states.index_select(0, b.frame_label), b),
                   expected("layers", "train.velocity"), "velocity");
  const torch::Tensor times = torch::tensor({0.0f, 0.25f, 1.0f});
  // Of the embedding itself: the projection is the fixture's own.
  const torch::Tensor projected =
      torch::matmul(expected("layers", "fm.time_embedding_0_0.25_1"),
                    lm_->acoustic_transformer->time_projection->weight.t());
  expect_near_peak(lm_->acoustic_transformer->embed_times(times), projected, "times");
}

TEST_F(ObjectiveTest, LossesWithBothKindsOfVoiceAreUpstreams) {
  expect_losses(losses(batch(reference(), {"a", "b", "c"})), expected_json("eval")["codes"]);
  const std::string voice =
      std::filesystem::path(expected_json("eval")["preset"]["reference"].get<std::string>()).stem();
  const VoiceRows preset{{}, read_voice(checkpoint(), config_, voice)};
  expect_losses(losses(batch(preset, {"a", "b", "c"})), expected_json("eval")["preset"]);
}

TEST_F(ObjectiveTest, AHiddenStateIsZeroForTheFlowAlone) {
  SpeechBatch b = batch(reference(), {"a", "b", "c"});
  const double semantic = losses(b).totals().terms.at("semantic").mean();
  b.heard.zero_();
  const auto totals = losses(b).totals();
  EXPECT_NEAR(totals.terms.at("acoustic").mean(),
              expected_json("eval")["acoustic_fm_unconditional_batch_mean"].get<double>(), 2e-5);
  EXPECT_EQ(totals.terms.at("semantic").mean(), semantic);
}

TEST_F(ObjectiveTest, ARowOfABatchIsAsAlone) {
  const auto together = losses(batch(reference(), {"a", "b", "c"})).utterances();
  for (const char* id : kIds)
    EXPECT_NEAR(losses(batch(reference(), {id})).totals().loss(), together.at(id).loss(), 1e-5);
}

TEST_F(ObjectiveTest, WeightsCountInBothTermsAndNotAtTheEnd) {
  const auto full = batch(reference(), {"a"});
  torch::Tensor weight = torch::ones({15});
  weight[3] = 0;
  weight[4] = 0.5;
  const SpeechBatch b = batch(reference(), {"a"}, weight);
  EXPECT_EQ(b.supervised.at("semantic"), 14.5);  // 16 labels, the end among them
  EXPECT_EQ(b.supervised.at("acoustic"), 13.5);
  const auto plain = objective_.loss(lm_, full, false), weighted = objective_.loss(lm_, b, false);
  for (size_t term = 0; term < plain.size(); ++term) {
    const torch::Tensor& value = weighted[term].value;
    EXPECT_EQ(value[3].item<float>(), 0);
    EXPECT_FLOAT_EQ(value[4].item<float>(), 0.5f * plain[term].value[4].item<float>());
    EXPECT_EQ(value[0].item<float>(), plain[term].value[0].item<float>());
  }
}

TEST_F(ObjectiveTest, TimesOfEvaluationStandOnAGridAndThoseOfTrainingDoNot) {
  const SpeechSample one = sample("a");
  const SpeechSample* row = &one;
  const VoiceRows voice = reference();
  const auto collate = [&](const Draw& draw) {
    return objective_.collate(std::span(&row, 1), std::span(&voice, 1), draw);
  };
  const SpeechBatch fixed = collate({});
  EXPECT_FLOAT_EQ(fixed.t[0].item<float>(), 1 / 16.0f);
  EXPECT_FLOAT_EQ(fixed.t[9].item<float>(), 3 / 16.0f);
  EXPECT_EQ(fixed.heard.min().item<float>(), 1);
  float dropped = 0;
  for (uint64_t seed = 0; seed < 40; ++seed) {
    const SpeechBatch drawn = collate({.training = true, .seed = seed});
    dropped += 1 - drawn.heard.mean().item<float>();
    EXPECT_FALSE(torch::equal(drawn.t, fixed.t));
  }
  EXPECT_NEAR(dropped / 40, 0.1, 0.03);
}

}  // namespace
}  // namespace ttsft::voxtral::test
