// The training layout and the losses against upstream's batch and numbers.
#include "models/qwen3_tts/objective.h"

#include <gtest/gtest.h>

#include "tests/models/qwen3_tts/lm_fixture.h"
#include "ttsft/io/atomic_file.h"
#include "ttsft/model/loss_sums.h"
#include "ttsft/nn/rng.h"

namespace ttsft::qwen3_tts::test {
namespace {

nlohmann::json expected_eval() {
  return nlohmann::json::parse(read_text(fixture_path("expected/eval.json")));
}

Talker talker_of(LmFixture& lm) {
  return dynamic_cast<Qwen3TtsImpl&>(lm.stage->module()).talker;
}

// Upstream's batch (dataset.py), which pads what ours names places for.
struct UpstreamBatch {
  explicit UpstreamBatch(const SpeechBatch& b) {
    const auto whole = [&](torch::IntArrayRef last, torch::Dtype dtype) {
      std::vector<int64_t> shape = {b.rows * b.time};
      shape.insert(shape.end(), last.begin(), last.end());
      return torch::zeros(shape, dtype);
    };
    torch::Tensor text = whole({}, torch::kInt64), codec = whole({}, torch::kInt64);
    text.index_copy_(0, b.position, b.text_ids.index_select(0, b.text_index));
    codec.index_copy_(0, b.codec_position, b.codec_ids);
    codec.index_copy_(0, b.frame_position, b.frame_codes.select(1, 0));
    input_ids = torch::stack({text, codec}, 1).view({b.rows, b.time, 2});
    codec_ids = whole({b.frame_codes.size(1)}, torch::kInt64)
                    .index_copy_(0, b.frame_position, b.frame_codes)
                    .view({b.rows, b.time, -1});
    const auto mask = [&](const torch::Tensor& places) {
      return whole({}, torch::kInt64).index_fill_(0, places, 1).view({b.rows, b.time});
    };
    text_embedding_mask = mask(b.position).unsqueeze(2);
    codec_embedding_mask = mask(torch::cat({b.codec_position, b.frame_position})).unsqueeze(2);
    codec_mask = mask(b.frame_position);
    attention_mask = mask(b.position);
    codec_0_labels = (whole({}, torch::kInt64) - 100)
                         .index_copy_(0, b.label_position + 1, b.label)
                         .view({b.rows, b.time});
  }
  torch::Tensor input_ids, codec_ids, text_embedding_mask, codec_embedding_mask, codec_mask,
      attention_mask, codec_0_labels;
};

TEST(Objective, CollatesUpstreamsBatchTensorByTensor) {
  LmFixture lm;
  const auto batch = lm.batch({0, 1, 2});
  const UpstreamBatch b(static_cast<const SpeechBatch&>(*batch));
  const auto expect = [](const torch::Tensor& actual, const std::string& name) {
    expect_equal(actual.to(torch::kInt64), expected_tensor("batch", name).to(torch::kInt64), name);
  };
  expect(b.input_ids, "input_ids");
  expect(b.codec_ids, "codec_ids");
  expect(b.text_embedding_mask, "text_embedding_mask");
  expect(b.codec_embedding_mask, "codec_embedding_mask");
  expect(b.codec_mask, "codec_mask");
  expect(b.attention_mask, "attention_mask");
  expect(b.codec_0_labels, "codec_0_labels");
}

TEST(Objective, InputEmbeddingsAndHiddenStatesAreUpstreams) {
  LmFixture lm;
  torch::NoGradGuard no_grad;
  const auto batch = lm.batch({0});
  const auto& b = static_cast<const SpeechBatch&>(*batch);
  Talker talker = talker_of(lm);
  const TextFrontend text(fixture_path("checkpoint"), fixture_config(), "qwen2");
  const Objective objective(fixture_config(), text.role(), 0.3);
  const torch::Tensor inputs = objective.embed(talker, b);
  expect_close(inputs, expected_tensor("layers", "talker.input_embeds"), 1e-4);

  const torch::Tensor fed = inputs.narrow(1, 0, inputs.size(1) - 1);
  const Rope rope = make_rope(torch::arange(fed.size(1)), fixture_config().talker.head_dim,
                              fixture_config().talker.rope_theta, torch::kFloat32);
  torch::Tensor h = fed;
  for (int64_t i = 0; i < fixture_config().talker.num_hidden_layers; ++i) {
    h = talker->model->block(i)(h, AttentionContext{.rope = &rope, .mask = {}, .causal = true}, i);
    if (i == 0) expect_close(h, expected_tensor("layers", "talker.layer0"), 1e-4, "layer 0");
  }
  expect_close(h, expected_tensor("layers", "talker.layer_last"), 1e-4, "last layer");
  h = talker->model->norm(talker->model->forward(fed));
  expect_close(h, expected_tensor("layers", "talker.norm"), 1e-4, "norm");

  const torch::Tensor at_labels = h.squeeze(0).index_select(0, b.label_position.narrow(0, 0, 3));
  expect_close(talker->codec_head(at_labels),
               expected_tensor("layers", "talker.logits_first3_labels"), 1e-4);

  const torch::Tensor predicting =
      h.squeeze(0).index_select(0, b.label_position.index_select(0, b.frame_label));
  const torch::Tensor outputs =
      talker->predictor_hidden(predicting.narrow(0, 0, 4), b.frame_codes.narrow(0, 0, 4));
  const torch::Tensor norm = expected_tensor("layers", "pred.norm");
  expect_close(outputs, norm.narrow(1, 1, norm.size(1) - 1), 1e-4, "predictor");
}

TEST(Objective, LossesAccuraciesAndCountsAreUpstreams) {
  LmFixture lm;
  torch::NoGradGuard no_grad;
  const auto expected = expected_eval();
  LossSums sums;
  const auto batch = lm.batch({0, 1, 2});
  sums.add(*batch, lm.stage->loss(*batch, {.accuracy = true}));
  const LossTotals totals = sums.totals();
  const auto& whole = expected["batch"];
  EXPECT_NEAR(totals.loss(), whole["loss"].get<double>(), 1e-4);
  const TermTotals talker = totals.terms.at("talker"), sub = totals.terms.at("sub_talker");
  EXPECT_NEAR(talker.mean(), whole["talker_loss"].get<double>(), 1e-4);
  EXPECT_NEAR(sub.mean(), whole["sub_talker_loss"].get<double>(), 1e-4);
  EXPECT_EQ(talker.tokens, whole["talker_labels"]);
  EXPECT_EQ(sub.tokens, whole["sub_talker_labels"]);
  EXPECT_EQ(*talker.correct, whole["talker_correct"]);
  EXPECT_EQ(*sub.correct, whole["sub_talker_correct"]);
  ASSERT_EQ(sub.sum_per_codebook.size(), 15u);
  for (size_t i = 0; i < 15; ++i) {
    const auto per = static_cast<double>(sub.tokens_per_codebook);
    EXPECT_NEAR(sub.sum_per_codebook[i] / per,
                whole["sub_talker_loss_per_codebook"][i].get<double>(), 1e-4);
    EXPECT_NEAR(static_cast<double>(sub.correct_per_codebook[i]) / per,
                whole["sub_talker_acc_per_codebook"][i].get<double>(), 1e-5);
  }
  // Two utterances of different length in one batch: padding changes nothing in either.
  const auto rows = sums.utterances();
  for (const auto& row : expected["utterances"])
    EXPECT_NEAR(rows.at(row["id"]).loss(), row["loss"].get<double>(), 1e-4) << row["id"];
}

TEST(Objective, BfloatStaysWithinTwoPercent) {
  LmFixture lm(fixture_path("checkpoint"), torch::kBFloat16);
  torch::NoGradGuard no_grad;
  LossSums sums;
  const auto batch = lm.batch({0, 1, 2});
  sums.add(*batch, lm.stage->loss(*batch, {}));
  const double expected = expected_eval()["batch"]["loss"];
  EXPECT_NEAR(sums.totals().loss(), expected, 0.02 * expected);
}

// More frames than the predictor takes at once: three chunks give what one pass gives.
TEST(Objective, ThePredictorInChunksLearnsTheSame) {
  LmFixture lm;
  Talker talker = talker_of(lm);
  const Config config = fixture_config();
  torch::Generator generator = make_generator(torch::kCPU, 3);
  SpeechSample sample;
  sample.id = "long";
  sample.text = {1, 2, 3};
  sample.codes = torch::randint(0, config.talker.code_predictor.vocab_size,
                                {1100, config.talker.num_code_groups}, generator, torch::kInt16);
  sample.speaker = torch::zeros({config.talker.hidden_size});
  const TextFrontend text(fixture_path("checkpoint"), config, "qwen2");
  const Objective objective(config, text.role(), 0.3);
  const SpeechSample* row = &sample;
  const SpeechBatch batch = objective.collate(std::span(&row, 1));
  torch::Tensor weight =
      talker->code_predictor->model->named_parameters()["layers.0.self_attn.q_proj.weight"];
  weight.requires_grad_(true);

  const LossTerm term = objective.loss(talker, batch, false)[1];
  term.value.mean().backward();
  const torch::Tensor gradient = weight.grad().clone();
  torch::Tensor hidden = talker->model->forward(objective.embed(talker, batch)).flatten(0, 1);
  hidden = talker->model->norm(hidden.index_select(0, batch.label_position));
  const torch::Tensor whole = talker->predictor_hidden(hidden.index_select(0, batch.frame_label),
                                                       batch.frame_codes);  // [N, C - 1, P]
  std::vector<torch::Tensor> nll;
  for (int64_t c = 0; c < whole.size(1); ++c) {
    nll.push_back(torch::nn::functional::cross_entropy(
        talker->code_predictor->lm_head[static_cast<size_t>(c)](whole.select(1, c)),
        batch.frame_codes.select(1, c + 1),
        torch::nn::functional::CrossEntropyFuncOptions().reduction(torch::kNone)));
  }
  expect_close(term.value, torch::stack(nll, 1), 1e-4);
  weight.mutable_grad() = torch::Tensor();
  torch::stack(nll, 1).mean().backward();
  ASSERT_GT(gradient.abs().max().item<double>(), 0);
  expect_close(gradient, weight.grad(), 1e-4 * gradient.abs().max().item<double>() + 1e-7);
}

TEST(Objective, RowOrderDoesNotMatter) {
  LmFixture lm;
  torch::NoGradGuard no_grad;
  LossSums forward, backward;
  const auto one = lm.batch({0, 1, 2}), other = lm.batch({2, 0, 1});
  forward.add(*one, lm.stage->loss(*one, {}));
  backward.add(*other, lm.stage->loss(*other, {}));
  EXPECT_NEAR(forward.totals().loss(), backward.totals().loss(), 1e-5);
}

TEST(Objective, LanguageTagMovesEverythingByOne) {
  LmFixture lm;
  auto tagged = *dynamic_cast<SpeechSample*>(lm.samples[0].get());
  tagged.language = 2050;
  const TextFrontend text(fixture_path("checkpoint"), fixture_config(), "qwen2");
  const Objective objective(fixture_config(), text.role(), 0.3);
  const SpeechSample* row = &tagged;
  const SpeechBatch b = objective.collate(std::span(&row, 1));
  const TalkerConfig& c = fixture_config().talker;
  const torch::Tensor codec = UpstreamBatch(b).input_ids.select(2, 1).squeeze(0);
  EXPECT_EQ(codec[3].item<int64_t>(), c.codec_think_id);
  EXPECT_EQ(codec[4].item<int64_t>(), c.codec_think_bos_id);
  EXPECT_EQ(codec[5].item<int64_t>(), 2050);
  EXPECT_EQ(codec[6].item<int64_t>(), c.codec_think_eos_id);
  EXPECT_EQ(b.speaker_position[0].item<int64_t>(), 7);
  EXPECT_EQ(objective.length(tagged), lm.samples[0]->length + 1);
}

TEST(Objective, SubTalkerLossReachesTheTalkerThroughTheHiddenState) {
  LmFixture lm;
  Talker talker = talker_of(lm);
  const auto batch = lm.batch({1});
  const auto terms = lm.stage->loss(*batch, {});
  terms[1].value.sum().backward();
  const auto& weight = talker->model->named_parameters()["layers.0.self_attn.q_proj.weight"];
  ASSERT_TRUE(weight.grad().defined());
  EXPECT_GT(weight.grad().abs().max().item<double>(), 0.0);
}

}  // namespace
}  // namespace ttsft::qwen3_tts::test
