// Tokens are transformers' own: tools/upstream/judge/whisper.py.
#include "ttsft/judge/whisper_decode.h"

#include <gtest/gtest.h>

#include <cmath>

#include "support/test_device.h"
#include "ttsft/judge/whisper_files.h"
#include "ttsft/judge/whisper_tokens.h"
#include "whisper_support.h"

namespace ttsft {
namespace {

using Tokens = std::vector<int64_t>;

class WhisperDecode : public testing::Test {
protected:
  c10::InferenceMode guard_;
  torch::Device device_ = test::test_device();
  WhisperFolder folder_ = read_whisper_folder(test::kWhisper / "hf");
  WhisperTokens tokens_{folder_};
  Whisper whisper_ = load_whisper(folder_, device_, torch::kFloat32);
  nlohmann::ordered_json expected_ = test::whisper_json();
  torch::Tensor mels_ = test::whisper_features_of_rows(device_);
  WhisperHeard heard_ = whisper_->decoder->hear(whisper_->encoder(mels_));

  std::vector<WhisperText> decode(int64_t beams, bool timestamps,
                                  const WhisperHeard &heard) {
    WhisperSearch search;
    search.beams = beams;
    search.most_tokens = 24;
    search.end = tokens_.end();
    search.no_speech = tokens_.no_speech();
    search.rules = whisper_rules(folder_, tokens_, timestamps, device_);
    const torch::Tensor prompt = torch::tensor(
        tokens_.prompt(tokens_.language("en"), timestamps), torch::kInt64);
    return decode_windows(
        whisper_, heard, prompt.to(device_).repeat({heard[0].first.size(0), 1}),
        search);
  }
  void expect_tokens(const std::vector<WhisperText> &texts,
                     const std::string &key) {
    ASSERT_EQ(texts.size(), expected_[key].size());
    for (size_t i = 0; i < texts.size(); ++i)
      EXPECT_EQ(texts[i].tokens, expected_[key][i].get<Tokens>())
          << key << " " << i;
  }
};

TEST_F(WhisperDecode, TakesTheLikeliestTokensAsUpstream) {
  const auto texts = decode(1, false, heard_);
  expect_tokens(texts, "greedy");
  for (const WhisperText &text : texts) {
    const size_t end = text.tokens.size() < 24 ? 1 : 0;
    EXPECT_EQ(text.log_probabilities.size(), text.tokens.size() + end);
    for (const float value : text.log_probabilities)
      EXPECT_LE(value, 0);
    EXPECT_GT(text.no_speech, 0);
    EXPECT_LT(text.no_speech, 1);
  }
}

TEST_F(WhisperDecode, SearchesWithBeamsAsUpstream) {
  const auto texts = decode(3, false, heard_);
  expect_tokens(texts, "beams");
  for (const WhisperText &text : texts)
    EXPECT_EQ(text.log_probabilities.size(),
              text.tokens.size() + (text.tokens.size() < 24));
}

TEST_F(WhisperDecode, SetsTimestampsAsUpstream) {
  expect_tokens(decode(1, true, heard_), "stamped");
}

// Rows leave the batch at different steps; alone each says the same.
TEST_F(WhisperDecode, ARowSaysTheSameAlone) {
  const auto together = decode(1, false, heard_);
  for (int64_t row = 0; row < 4; ++row) {
    WhisperHeard own;
    for (const auto &[k, v] : heard_)
      own.emplace_back(k.narrow(0, row, 1), v.narrow(0, row, 1));
    const WhisperText alone = decode(1, false, own).at(0);
    const WhisperText &among = together[static_cast<size_t>(row)];
    EXPECT_EQ(alone.tokens, among.tokens);
    EXPECT_NEAR(alone.mean_log_probability(), among.mean_log_probability(),
                1e-5);
    EXPECT_NEAR(alone.no_speech, among.no_speech, 1e-6);
  }
}

// The log-probabilities are those of the model run over the whole text.
TEST_F(WhisperDecode, ProbabilitiesAreTheModels) {
  const auto beams = decode(3, false, heard_);
  for (int64_t row = 0; row < 4; ++row) {
    const WhisperText &text = beams[static_cast<size_t>(row)];
    Tokens all = tokens_.prompt(tokens_.language("en"), false);
    const auto prompt = std::ssize(all);
    all.insert(all.end(), text.tokens.begin(), text.tokens.end());
    WhisperHeard own;
    for (const auto &[k, v] : heard_)
      own.emplace_back(k.narrow(0, row, 1), v.narrow(0, row, 1));
    KvCache cache = whisper_->decoder->make_cache(1);
    const torch::Tensor ids =
        torch::tensor(all, torch::kInt64).to(device_).unsqueeze(0);
    const torch::Tensor scores =
        whisper_->decoder->logits(whisper_->decoder(ids, cache, own))
            .squeeze(0)
            .log_softmax(-1);
    for (int64_t i = 0; i < std::ssize(text.log_probabilities); ++i) {
      const int64_t next = i < std::ssize(text.tokens)
                               ? text.tokens[static_cast<size_t>(i)]
                               : tokens_.end();
      EXPECT_NEAR(scores[prompt - 1 + i][next].item<float>(),
                  text.log_probabilities[static_cast<size_t>(i)], 1e-4);
    }
  }
}

TEST_F(WhisperDecode, FindsTheLanguagesUpstreamFinds) {
  const Tokens found = likeliest_languages(whisper_, heard_, tokens_.start(),
                                           tokens_.languages());
  ASSERT_EQ(found.size(), 4u);
  for (size_t i = 0; i < found.size(); ++i)
    EXPECT_EQ(tokens_.language_name(found[i]),
              expected_["languages"][i].get<std::string>());
}

TEST_F(WhisperDecode, RefusesMoreTokensThanPositions) {
  WhisperSearch search;
  search.most_tokens = folder_.options.decoder_positions;
  EXPECT_THROW(decode_windows(whisper_, heard_,
                              torch::zeros({4, 2}, torch::kInt64), search),
               std::logic_error);
}

} // namespace
} // namespace ttsft
