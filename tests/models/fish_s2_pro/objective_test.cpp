// Layouts, hidden states and losses against upstream's.
#include "models/fish_s2_pro/objective.h"

#include <gtest/gtest.h>

#include "tests/models/fish_s2_pro/fish_fixture.h"
#include "ttsft/model/loss_sums.h"

namespace ttsft::fish_s2_pro::test {
namespace {

class ObjectiveTest : public testing::Test {
 protected:
  ObjectiveTest()
      : config_(read_config(fixture().path("checkpoint"))),
        tokenizer_(fixture().path("checkpoint")),
        model_(load_dual_ar(fixture().path("checkpoint"), config_, torch::kCPU, torch::kFloat32)) {}

  SpeechSample sample(const std::string& id, const std::string& words, const torch::Tensor& codes,
                      Layout layout) const {
    const TrainingColumns made = training_columns(tokenizer_, words, codes, layout);
    SpeechSample one;
    one.id = id;
    one.tokens = made.columns.tokens;
    one.first_frame = made.columns.frame_at.front();
    one.codes = codes.to(torch::kInt16);
    one.length = std::ssize(one.tokens) - 1;
    return one;
  }
  std::vector<SpeechSample> clips(Layout layout) const {
    std::vector<SpeechSample> all;
    for (const auto& clip : expected_json("prep")["utterances"]) {
      const std::string id = clip["id"], text = clip["text"];
      all.push_back(sample(id, layout == Layout::kChat ? with_speaker_tag(clean_text(text)) : text,
                           clip_codes(id), layout));
    }
    return all;
  }
  static SpeechBatch batch(const std::vector<SpeechSample>& samples) {
    std::vector<const SpeechSample*> rows;
    for (const SpeechSample& one : samples) rows.push_back(&one);
    return Objective({}).collate(rows);
  }
  LossSums losses(const SpeechBatch& batch, bool scaled) {
    LossSums sums;
    sums.add(batch, Objective({scaled, true}).loss(model_, batch, true));
    return sums;
  }

  const torch::NoGradGuard no_grad_;
  Config config_;
  Tokenizer tokenizer_;
  DualAr model_;
};

TEST_F(ObjectiveTest, BatchesAreUpstreams) {
  for (const auto& [layout, name] :
       {std::pair{Layout::kChat, "s2_chat"}, std::pair{Layout::kUpstream, "upstream_head"}}) {
    const SpeechBatch b = batch(clips(layout));
    const torch::Tensor inputs = expected("train_batch", std::string(name) + ".inputs"),
                        labels = expected("train_batch", std::string(name) + ".labels");
    ASSERT_EQ(b.time, inputs.size(2)) << name;
    torch::Tensor tokens = torch::zeros({b.positions}, torch::kInt64);
    tokens.index_copy_(0, b.text_position, b.text_ids);
    tokens.index_copy_(0, b.frame_position, b.frame_tokens);
    torch::Tensor real = torch::zeros({b.positions}, torch::kInt64);
    real.index_fill_(0, torch::cat({b.text_position, b.frame_position}), 1);
    const torch::Tensor pad =
        expected("train_batch", std::string(name) + ".key_padding_mask").to(torch::kInt64);
    expect_equal(real.view_as(pad), 1 - pad, name);
    expect_equal(tokens.view_as(pad) * (1 - pad), inputs.select(1, 0).to(torch::kInt64) * (1 - pad),
                 name);
    torch::Tensor codes = torch::zeros({b.positions, 10}, torch::kInt64);
    codes.index_copy_(0, b.frame_position, b.frame_codes);
    expect_equal(
        codes.view({b.rows, b.time, 10}).transpose(1, 2).contiguous() * (1 - pad).unsqueeze(1),
        inputs.narrow(1, 1, 10).to(torch::kInt64) * (1 - pad).unsqueeze(1), name);
    torch::Tensor targets = torch::full({b.positions}, -100, torch::kInt64);
    targets.index_copy_(0, b.label_position, b.label);
    expect_equal(targets.view_as(pad), labels.select(1, 0).to(torch::kInt64), name);
  }
}

TEST_F(ObjectiveTest, HiddenStatesAreUpstreams) {
  const auto all = clips(Layout::kChat);
  const SpeechBatch b = batch({all.front()});
  const torch::Tensor x = Objective({}).embed(model_, b);
  expect_close(x[0], expected("layers", "lm.embed"), 1e-5, "embedded");
  const torch::Tensor hidden = model_->norm(model_->slow()->forward(x));
  const torch::Tensor logits = torch::matmul(hidden[0], Objective({}).head(model_).t());
  expect_close(logits.slice(0, -4), expected("layers", "lm.token_logits.last4"), 1e-4, "logits");
  const Probe depth = Objective({}).depth_probe(model_, b);
  expect_close(depth.logits[0].narrow(1, 0, 256),
               expected("layers", "fast.codebook_logits.frame0.first256"), 1e-4, "fast");
}

TEST_F(ObjectiveTest, LossesOfAllLayoutsAreUpstreams) {
  for (const auto& [layout, name] :
       {std::pair{Layout::kChat, "s2_chat"}, std::pair{Layout::kUpstream, "upstream_head"}}) {
    for (const bool scaled : {true, false}) {
      const auto& want =
          expected_json("eval")[std::string(name) + (scaled ? ".scaled" : ".unscaled")];
      LossSums sums = losses(batch(clips(layout)), scaled);
      const auto rows = sums.utterances();
      for (const auto& [id, row] : want["utterances"].items()) {
        const LossTotals& totals = rows.at(id);
        EXPECT_NEAR(totals.loss(), row["loss"].get<double>(), 5e-5) << name << id;
        EXPECT_EQ(totals.terms.at("base").tokens, row["n_label_tokens"].get<double>());
        EXPECT_EQ(totals.terms.at("semantic").tokens, row["n_codebook_labels"].get<double>());
      }
      EXPECT_NEAR(sums.totals().loss(), want["batch"]["loss"].get<double>(), 5e-5) << name;
    }
  }
}

TEST_F(ObjectiveTest, ItsOwnSpeechIsPredicted) {
  const auto& plain = expected_json("synth")["plain"];
  std::vector<torch::Tensor> levels;
  for (const auto& level : plain["codes"])
    levels.push_back(torch::tensor(level.get<std::vector<int64_t>>()));
  const auto own = sample("plain", plain["text"], torch::stack(levels, 1), Layout::kChat);
  const auto& want = expected_json("eval")["self_generated"]["scaled"];
  const auto totals = losses(batch({own}), true).totals();
  EXPECT_NEAR(totals.loss(), want["loss"].get<double>(), 5e-5);
  EXPECT_NEAR(totals.terms.at("semantic").correct.value() / totals.terms.at("semantic").tokens,
              want["codebook_top1"].get<double>(), 1e-6);
}

}  // namespace
}  // namespace ttsft::fish_s2_pro::test
