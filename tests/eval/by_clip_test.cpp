#include "src/eval/by_clip.h"

#include <gtest/gtest.h>

#include <cmath>

namespace ttsft {
namespace {

TermTotals term(double sum, double tokens, double weight = 1) {
  TermTotals made;
  made.weight = weight;
  made.sum = sum;
  made.tokens = tokens;
  return made;
}

LossTotals whole_of(const ClipLosses& clips) {
  LossTotals whole;
  for (const auto& [id, clip] : clips) {
    for (const auto& [name, one] : clip.terms) {
      TermTotals& sum = whole.terms[name];
      sum.weight = one.weight;
      sum.sum += one.sum;
      sum.tokens += one.tokens;
    }
  }
  return whole;
}

// Clips of one length: the textbook's error of a mean.
TEST(ByClip, TheErrorOfEqualClipsIsThatOfAMean) {
  ClipLosses clips;
  const double values[] = {1, 2, 4, 7};
  for (int i = 0; i < 4; ++i) clips["c" + std::to_string(i)].terms["lm"] = term(10 * values[i], 10);
  const auto moved = influences(whole_of(clips), clips);
  double sum = 0;
  for (const auto& [id, value] : moved) sum += value;
  EXPECT_NEAR(sum, 0, 1e-12);
  const double mean = 3.5;
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  EXPECT_NEAR(standard_error(moved), std::sqrt(squares / 3 / 4), 1e-12);
  EXPECT_TRUE(std::isnan(standard_error({{"one", 3.0}})));
}

// What both checkpoints find hard does not blur their difference.
TEST(ByClip, ADifferenceOnTheSameClipsIsSurerThanEachLoss) {
  ClipLosses first, second;
  for (int i = 0; i < 8; ++i) {
    const std::string id = "c" + std::to_string(i);
    first[id].terms = {{"lm", term(10.0 * i, 10)}, {"sub", term(4.0 * i, 20, 0.3)}};
    second[id].terms = {{"lm", term(10.0 * i + 5 + 0.1 * (i % 2), 10)},
                        {"sub", term(4.0 * i, 20, 0.3)}};
  }
  const auto a = influences(whole_of(first), first), b = influences(whole_of(second), second);
  EXPECT_GT(standard_error(a), 0.5);
  EXPECT_NEAR(standard_error(difference(b, a)), 0.005 / std::sqrt(7), 1e-9);
}

TEST(ByClip, SpeakersAreMeansOverTheirTokens) {
  ClipLosses clips;
  clips["a"].terms["lm"] = term(10, 10);
  clips["b"].terms["lm"] = term(60, 30);
  clips["c"].terms["lm"] = term(8, 2);
  const auto speakers = by_speaker(clips, {{"a", "anna"}, {"b", "anna"}, {"c", "dan"}});
  EXPECT_NEAR(speakers.at("anna").loss(), 70.0 / 40, 1e-12);
  EXPECT_NEAR(speakers.at("dan").loss(), 4, 1e-12);
}

}  // namespace
}  // namespace ttsft
