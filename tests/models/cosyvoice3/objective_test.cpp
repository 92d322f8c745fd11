// Layouts, hidden states and losses of the language model against upstream's.
#include "models/cosyvoice3/objective.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "models/cosyvoice3/text.h"
#include "tests/models/cosyvoice3/cosyvoice3_fixture.h"
#include "tests/support/temporary_folder.h"
#include "ttsft/core/error.h"
#include "ttsft/io/torch_file.h"
#include "ttsft/model/loss_sums.h"

namespace ttsft::cosyvoice3::test {
namespace {

const std::vector<std::string> kClips = {"a", "c", "ref"};

const Config& config() {
  static const Config read = read_config(fixture().path("checkpoint"));
  return read;
}

SpeechSample sample(const std::string& id) {
  const auto& prepared = expected_json("prep")[id];
  SpeechSample made;
  made.id = id;
  made.instruct = prepared["instruct_token"].get<std::vector<int64_t>>();
  made.text = prepared["text_token"].get<std::vector<int64_t>>();
  const torch::Tensor codes = expected("prep", id + ".speech_token").flatten().to(torch::kInt64);
  made.codes.assign(codes.data_ptr<int64_t>(), codes.data_ptr<int64_t>() + codes.numel());
  return made;
}

Lm language_model() {
  return load_lm(open_tensor_file(fixture().path("checkpoint/llm.pt")), config().lm, torch::kCPU,
                 torch::kFloat32);
}

class ObjectiveTest : public testing::Test {
 protected:
  ObjectiveTest() {
    for (const std::string& id : kClips) samples_.push_back(sample(id));
  }
  SpeechBatch batch(bool bidirectional) const {
    std::vector<const SpeechSample*> rows;
    std::vector<Layout> layouts;
    for (const SpeechSample& one : samples_) {
      rows.push_back(&one);
      layouts.push_back(bidirectional ? bistream(one, config().lm, 5, 15)
                                      : unistream(one, config().lm));
    }
    return collate(rows, layouts);
  }
  LossSums losses(const SpeechBatch& of) {
    LossSums sums;
    sums.add(of, speech_loss(lm_, of, true));
    return sums;
  }

  const torch::NoGradGuard no_grad_;
  std::vector<SpeechSample> samples_;
  Lm lm_ = language_model();
};

TEST_F(ObjectiveTest, TheBatchIsUpstreams) {
  const SpeechBatch b = batch(false);
  torch::Tensor targets = torch::full({b.rows * b.time}, -1, torch::kInt64);
  targets.index_copy_(0, b.label_position, b.label);
  expect_equal(targets.view({b.rows, b.time}),
               expected("layers", "lm.batch_target").to(torch::kInt64), "targets");
  // Upstream fills padding with -1.
  torch::Tensor inputs = embed(lm_, b).flatten(0, 1), real = torch::zeros({inputs.size(0)});
  real.index_fill_(0, torch::cat({b.text_position, b.speech_position}), 1);
  inputs = torch::where(real.unsqueeze(1) > 0, inputs, torch::full_like(inputs, -1));
  expect_close(inputs.view({b.rows, b.time, -1}), expected("layers", "lm.input_embeds"), 1e-6);
}

TEST_F(ObjectiveTest, HiddenStatesAreUpstreams) {
  const SpeechBatch b = batch(false);
  const torch::Tensor wanted = expected("layers", "lm.final_norm");  // of the first row
  const torch::Tensor hidden =
      lm_->model->norm(lm_->model->forward(embed(lm_, b)))[0].narrow(0, 0, wanted.size(0));
  expect_close(hidden, wanted, 1e-4, "final norm");
  expect_close(lm_->llm_decoder(hidden).narrow(1, 0, 64), expected("layers", "lm.logits_first64"),
               1e-4, "logits");
}

TEST_F(ObjectiveTest, LossesAccuraciesAndCountsAreUpstreams) {
  const auto& want = expected_json("eval");
  LossSums one_way = losses(batch(false)), both_ways = losses(batch(true));
  for (const bool bidirectional : {false, true}) {
    const auto rows = (bidirectional ? both_ways : one_way).utterances();
    for (const auto& [id, row] : want[bidirectional ? "bistream_utts" : "utts"].items()) {
      const LossTotals& totals = rows.at(id);
      const TermTotals& term = totals.terms.at("speech");
      EXPECT_NEAR(totals.loss(), row["loss"].get<double>(), 2e-5) << id << bidirectional;
      EXPECT_EQ(term.tokens, row["label_tokens"].get<double>()) << id;
      EXPECT_NEAR(static_cast<double>(term.correct.value()) / term.tokens, row["acc"].get<double>(),
                  1e-6)
          << id;
    }
  }
  EXPECT_NEAR(one_way.totals().loss(), want["batch"]["loss"].get<double>(), 2e-5);
}

TEST_F(ObjectiveTest, BistreamTargetsAreUpstreams) {
  for (const SpeechSample& one : samples_) {
    const Layout layout = bistream(one, config().lm, 5, 15);
    EXPECT_EQ(layout.targets,
              expected_json("eval")["bistream_utts"][one.id]["target"].get<std::vector<int64_t>>())
        << one.id;
    EXPECT_EQ(layout.inputs.size(), layout.targets.size());
  }
}

TEST_F(ObjectiveTest, TooLittleSpeechStaysUnistream) {
  SpeechSample one = samples_[0];
  one.codes.resize(3 * one.text.size());
  EXPECT_EQ(bistream(one, config().lm, 5, 15).targets, unistream(one, config().lm).targets);
}

TEST(Config, TensorsOverruleTheYaml) {
  const TemporaryFolder folder;
  const std::filesystem::path copy = folder / "checkpoint";
  std::filesystem::copy(fixture().path("checkpoint"), copy,
                        std::filesystem::copy_options::recursive);
  std::string yaml = read_text(copy / "cosyvoice3.yaml");
  const std::string stated = "speech_token_size: 6561";
  yaml.replace(yaml.find(stated), stated.size(), "speech_token_size: 6564");
  std::ofstream(copy / "cosyvoice3.yaml") << yaml;
  testing::internal::CaptureStderr();
  EXPECT_EQ(read_config(copy).lm.codes, 6561);
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_THAT(log, testing::AllOf(testing::HasSubstr("6564"), testing::HasSubstr("6561")));
}

TEST(Config, ReadsTheFixture) {
  EXPECT_EQ(config().lm.hidden_size, 24);
  EXPECT_EQ(config().lm.head_dim, 6);
  EXPECT_EQ(config().lm.speech_rows(), 6761);
  EXPECT_EQ(config().ras.top_k, 25);
  EXPECT_EQ(config().filter.max_text_tokens, 200);
  EXPECT_EQ(config().filter.min_seconds, 1.0);
  EXPECT_EQ(config().chunk_codes, 25);
}

TEST(Config, OlderReleasesAreRefusedByName) {
  const TemporaryFolder folder;
  for (const auto& [file, name] :
       {std::pair{"cosyvoice.yaml", "CosyVoice 1"}, std::pair{"cosyvoice2.yaml", "CosyVoice 2"}}) {
    folder.write(file, "a: 1\n");
    EXPECT_THAT(message_of<DataError>([&] { read_config(folder.path()); }),
                testing::HasSubstr(name));
  }
}

}  // namespace
}  // namespace ttsft::cosyvoice3::test
