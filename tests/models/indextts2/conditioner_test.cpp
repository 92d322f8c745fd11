#include "models/indextts2/conditioner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "tests/models/indextts2/gpt_fixture.h"
#include "tests/support/temporary_folder.h"
#include "ttsft/core/error.h"

namespace ttsft::indextts2::test {
namespace {

class ConditionerTest : public testing::Test {
 protected:
  static torch::Tensor features(const std::string& id) {
    return expected("prep", id + ".w2v_feat").unsqueeze(0);
  }
  static ConditionLengths length(const std::string& id) {
    return {expected("prep", id + ".attention_mask").to(torch::kInt64).sum().view({1})};
  }

  Conditioner model_ =
      load_conditioner(open_gpt(fixture_config().gpt_file), fixture_config().gpt, torch::kCPU);
  c10::InferenceMode inference_;
};

TEST_F(ConditionerTest, ConditionsAndEmotionsAreUpstreams) {
  for (const std::string id : {"a", "b", "c", "ref"}) {
    expect_close(model_->condition(features(id), length(id))[0],
                 expected("prep", id + ".condition"), 1e-4, id);
    expect_close(model_->emotion(features(id), length(id))[0], expected("prep", id + ".emo_vec"),
                 1e-4, id);
  }
}

TEST_F(ConditionerTest, StagesAreUpstreams) {
  std::map<std::string, torch::Tensor> heard;
  const StageProbe probe = [&](std::string_view stage, const torch::Tensor& value) {
    heard[std::string(stage)] = value[0];
  };
  model_->condition(features("b"), length("b"), probe);
  expect_close(heard["embed"], expected("layers", "prep.spk_conformer_embed"), 1e-4);
  expect_close(heard["conformer"], expected("layers", "prep.spk_conformer_out"), 1e-4);
  expect_equal(heard["mask"].to(torch::kInt64),
               expected("layers", "prep.spk_conformer_mask").to(torch::kInt64));
  model_->emotion(features("b"), length("b"), probe);
  expect_close(heard["embed"], expected("layers", "prep.emo_conformer_embed"), 1e-4);
  expect_close(heard["conformer"], expected("layers", "prep.emo_conformer_out"), 1e-4);
  expect_equal(heard["mask"].to(torch::kInt64),
               expected("layers", "prep.emo_conformer_mask").to(torch::kInt64));
  expect_close(heard["perceiver"][0], expected("layers", "prep.emo_perceiver_out"), 1e-4);
}

TEST_F(ConditionerTest, SynthesisMasksNothing) {
  const torch::Tensor prompt = expected("synth", "prompt.spk_cond_emb").unsqueeze(0);
  expect_close(model_->condition(prompt)[0], expected("synth", "prompt.conditioning"), 1e-4);
}

TEST_F(ConditionerTest, RowsOfABatchComeOutAsAlone) {
  // One frame count, other numbers of frames that count.
  const torch::Tensor c = features("c"), ref = features("ref").narrow(1, 0, c.size(1));
  const torch::Tensor lengths = torch::tensor({c.size(1), c.size(1) - 5});
  const torch::Tensor both = torch::cat({c, ref});
  const torch::Tensor condition = model_->condition(both, {lengths});
  const torch::Tensor emotion = model_->emotion(both, {lengths});
  for (int64_t row = 0; row < 2; ++row) {
    const torch::Tensor x = both.narrow(0, row, 1);
    const ConditionLengths n = {lengths.narrow(0, row, 1)};
    expect_close(condition[row], model_->condition(x, n)[0], 1e-5);
    expect_close(emotion[row], model_->emotion(x, n)[0], 1e-5);
  }
  EXPECT_GT((condition[1] - model_->condition(both)[1]).abs().max().item<double>(), 1e-4)
      << "masked frames must not be heard";
}

TEST_F(ConditionerTest, RowsOfUnequalLengthComeOutAsAlone) {
  const std::vector<std::string> ids = {"a", "b", "c", "ref"};
  int64_t longest = 0;
  for (const std::string& id : ids) longest = std::max(longest, features(id).size(1));
  std::vector<torch::Tensor> rows, valid;
  std::vector<int64_t> frames;
  for (const std::string& id : ids) {
    frames.push_back(features(id).size(1));
    valid.push_back(length(id).valid);
    // What lies beyond a row must not be heard, whatever it is.
    const torch::Tensor beyond =
        torch::full({1, longest - frames.back(), features(id).size(2)}, 7.);
    rows.push_back(torch::cat({features(id), beyond}, 1));
  }
  ASSERT_GT(std::set<int64_t>(frames.begin(), frames.end()).size(), 2u);
  const torch::Tensor x = torch::cat(rows);
  const torch::Tensor frame_counts = torch::tensor(frames);
  for (const bool all_count : {false, true}) {
    const ConditionLengths lengths{all_count ? torch::Tensor() : torch::cat(valid), frame_counts};
    const torch::Tensor condition = model_->condition(x, lengths);
    const torch::Tensor emotion = model_->emotion(x, lengths);
    for (size_t row = 0; row < ids.size(); ++row) {
      const auto at = static_cast<int64_t>(row);
      const ConditionLengths own = all_count ? ConditionLengths{} : length(ids[row]);
      expect_close(condition[at], model_->condition(features(ids[row]), own)[0], 1e-5, ids[row]);
      expect_close(emotion[at], model_->emotion(features(ids[row]), own)[0], 1e-5, ids[row]);
    }
  }
}

TEST_F(ConditionerTest, LongRecordingsArePiecedTogether) {
  // More sub-sampled frames than pass the wide linear at once.
  const torch::Tensor one = features("ref");
  const torch::Tensor x = one.repeat({1, 14, 1});
  std::map<std::string, torch::Tensor> heard;
  model_->condition(x, {}, [&](std::string_view stage, const torch::Tensor& value) {
    heard[std::string(stage)] = value[0];
  });
  ASSERT_GT(heard["embed"].size(0), 512);
  std::map<std::string, torch::Tensor> piece;
  model_->condition(
      x.narrow(1, 1000, 101), {},
      [&](std::string_view stage, const torch::Tensor& v) { piece[std::string(stage)] = v[0]; });
  expect_close(heard["embed"].narrow(0, 500, 50), piece["embed"], 1e-5);
}

TEST_F(ConditionerTest, RefusesMoreFramesThanPositions) {
  const int64_t positions = fixture_config().gpt.speaker.positions;
  const torch::Tensor x = torch::zeros({1, 2 * positions + 3, features("a").size(2)});
  EXPECT_THAT(message_of<DataError>([&] { return model_->condition(x); }),
              testing::HasSubstr("longer than the model's table of positions"));
}

}  // namespace
}  // namespace ttsft::indextts2::test
