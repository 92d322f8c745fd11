// The loop around a toy language model (tests/support/toy_synthesizer.h); the models' own tests
// compare it with upstream.
#include "ttsft/model/frame_decoder.h"

#include <gtest/gtest.h>

#include "tests/support/spoken.h"
#include "tests/support/tensor_test.h"
#include "tests/support/toy_synthesizer.h"

namespace ttsft {
namespace {

using test::decode_all;
using test::expect_equal;
using test::ToyLm;

struct FrameDecoding : testing::Test {
  std::vector<RowPrompt> prompts(const std::vector<std::string>& texts) {
    std::vector<RowPrompt> rows;
    for (const std::string& text : texts) {
      rows.emplace_back();
      rows.back().inputs = ToyLm::inputs(text);
      rows.back().seed = text.size();
    }
    return rows;
  }
  DecodingPlan plan(bool greedy, int64_t limit = 100) {
    DecodingPlan plan;
    plan.sampling.greedy = greedy;
    plan.end = {ToyLm::kEnd};
    plan.max_frames = limit;
    return plan;
  }
  static std::string words(const DecodedRow& row) {
    std::string text;
    for (int64_t f = 0; f < row.codes.size(0); ++f)
      text += static_cast<char>(row.codes[f][0].item<int64_t>());
    return text;
  }

  std::shared_ptr<test::ToyRecord> record = std::make_shared<test::ToyRecord>();
  ToyLm model{record};
};

TEST_F(FrameDecoding, RowsOfAnyLengthEndByThemselves) {
  const auto rows = decode_all(model, plan(true), torch::kFloat32, prompts({"hello", "a", "#", "you"}));
  EXPECT_EQ(words(rows[0]), "hello");
  EXPECT_EQ(words(rows[1]), "a");
  EXPECT_EQ(rows[2].codes.sizes(), (torch::IntArrayRef{0, 2}));
  EXPECT_EQ(words(rows[3]), "you");
  for (const DecodedRow& row : rows) EXPECT_FALSE(row.reached_limit);
}

TEST_F(FrameDecoding, TheLimitIsARowsOwn) {
  FrameDecoder decoder(model, plan(true, 3), torch::kFloat32);
  decoder.admit(prompts({"hello"}));
  decoder.step();
  decoder.admit(prompts({"ab", "world"}));
  const auto rows = decode_all(decoder);
  EXPECT_EQ(words(rows[0]), "hel");
  EXPECT_TRUE(rows[0].reached_limit);
  EXPECT_EQ(words(rows[1]), "ab");
  EXPECT_FALSE(rows[1].reached_limit);
  EXPECT_EQ(words(rows[2]), "wor");
  EXPECT_EQ(decoder.rows(), 0);
}

TEST_F(FrameDecoding, SlotsAreUsedAgain) {
  const std::vector<std::string> texts = {"hello", "ab", "abcdefgh", "x", "longer than these", "y"};
  for (const bool greedy : {true, false}) {
    std::vector<torch::Tensor> alone(texts.size()), together(texts.size());
    for (size_t i = 0; i < texts.size(); ++i)
      alone[i] = decode_all(model, plan(greedy), torch::kFloat32, prompts({texts[i]}))[0].codes;
    FrameDecoder decoder(model, plan(greedy), torch::kFloat32);
    std::vector<size_t> there;
    size_t next = 0;
    while (next < texts.size() || decoder.rows() > 0) {
      while (decoder.rows() < 2 && next < texts.size()) {
        decoder.admit(prompts({texts[next]}));
        there.push_back(next++);
      }
      decoder.step();
      for (int64_t row = decoder.rows() - 1; row >= 0; --row) {
        if (!decoder.ended()[row].item<bool>()) continue;
        together[there[static_cast<size_t>(row)]] = decoder.take({row})[0].codes;
        there.erase(there.begin() + row);
      }
    }
    for (size_t i = 0; i < texts.size(); ++i) expect_equal(together[i], alone[i], texts[i]);
  }
}

TEST_F(FrameDecoding, SoFarGrows) {
  FrameDecoder decoder(model, plan(true), torch::kFloat32);
  decoder.admit(prompts({"abc"}));
  EXPECT_EQ(decoder.so_far(0, 0).numel(), 0);
  decoder.step();
  decoder.step();
  expect_equal(decoder.so_far(0, 0), torch::tensor({{'a', 0}, {'b', 1}}).to(torch::kInt64));
  expect_equal(decoder.so_far(0, 1), torch::tensor({{'b', 1}}).to(torch::kInt64));
}

TEST_F(FrameDecoding, ManyFramesNeedMoreRoom) {
  const std::string text(700, 'q');
  EXPECT_EQ(words(decode_all(model, plan(true, 1000), torch::kFloat32, prompts({text}))[0]), text);
}

TEST_F(FrameDecoding, RecordedDrawsDecideAndEndTheRow) {
  // -log(u) is smallest where u is near 1: the second frame is 'z', whatever was due.
  torch::Tensor draws = torch::full({2, ToyLm::kVocabulary}, 0.5);
  draws[0]['y'] = 0.9999;
  draws[1]['z'] = 0.9999;
  const RecordedDraws recorded = {{"token", draws}};
  FrameDecoder decoder(model, plan(false), torch::kFloat32, &recorded);
  decoder.admit(prompts({"abc"}));
  const DecodedRow row = decode_all(decoder)[0];
  EXPECT_EQ(words(row), "yz");
  EXPECT_TRUE(row.reached_limit) << "there are draws for two frames";
}

TEST_F(FrameDecoding, WrongUse) {
  DecodingPlan endless = plan(true);
  endless.end.clear();
  EXPECT_THROW(FrameDecoder(model, endless, torch::kFloat32), std::logic_error);
  DecodingPlan beams = plan(true);
  beams.beams = 2;
  EXPECT_THROW(FrameDecoder(model, beams, torch::kFloat32), std::logic_error) << "it has a head";
}

}  // namespace
}  // namespace ttsft
