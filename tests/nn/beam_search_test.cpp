#include "ttsft/nn/beam_search.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <set>

#include "tests/support/random_weights.h"
#include "tests/support/tensor_test.h"
#include "ttsft/nn/noise.h"

namespace ttsft {
namespace {

using test::expect_equal;
using test::random;

using Words = std::vector<int64_t>;
// Log-probabilities of the token after some words of one text.
using Language = std::function<torch::Tensor(int64_t text, const Words& words)>;

constexpr int64_t kVocabulary = 7, kEnd = 6;

// Random, but a function of the words alone. The end becomes likelier with every word.
Language toy_language(uint64_t seed, double spread = 2.0) {
  return [=](int64_t text, const Words& words) {
    uint64_t key = seed * 31 + static_cast<uint64_t>(text);
    for (const int64_t word : words) key = key * 1009 + static_cast<uint64_t>(word) + 1;
    torch::Tensor logits = random({kVocabulary}, key, spread);
    logits[kEnd] += 0.4 * static_cast<double>(words.size());
    return logits.log_softmax(0);
  };
}

// One text, written as the scorer's description reads: lists, loops and early exits.
struct NaiveSearch {
  struct Beam {
    Words words;
    double score;
  };

  NaiveSearch(const Language& language, int64_t text, const BeamOptions& options, int64_t steps) {
    const auto beams = static_cast<size_t>(options.beams);
    std::vector<Beam> running(beams, {{}, -1e9});
    running[0].score = 0;
    const auto close = [&](const Words& words, double sum, size_t length) {
      const double score = sum / std::pow(static_cast<double>(length), options.length_penalty);
      closed.push_back({words, score});
      std::stable_sort(closed.begin(), closed.end(),
                       [](const Beam& a, const Beam& b) { return a.score > b.score; });
      if (closed.size() > beams) closed.pop_back();
    };
    for (int64_t step = 0; step < steps && !finished; ++step) {
      std::vector<std::tuple<double, size_t, int64_t>> all;  // score, beam, token
      for (size_t b = 0; b < beams; ++b) {
        const torch::Tensor scores = language(text, running[b].words);
        for (int64_t v = 0; v < kVocabulary; ++v)
          all.emplace_back(running[b].score + scores[v].item<float>(), b, v);
      }
      std::stable_sort(all.begin(), all.end(), [](const auto& x, const auto& y) {
        return std::get<0>(x) > std::get<0>(y);
      });
      all.resize(2 * beams);
      const auto length = static_cast<size_t>(step) + 1;
      std::vector<Beam> next;
      for (size_t rank = 0; rank < all.size() && next.size() < beams; ++rank) {
        const auto& [score, b, v] = all[rank];
        if (v == kEnd) {
          if (rank < beams) close(running[b].words, score, length);
          continue;
        }
        next.push_back({running[b].words, score});
        next.back().words.push_back(v);
      }
      running = next;
      const double attainable =
          std::get<0>(all[0]) / std::pow(static_cast<double>(length), options.length_penalty);
      finished = closed.size() == beams && closed.back().score >= attainable;
      steps_taken = step + 1;
    }
    if (!finished)
      for (const Beam& beam : running)
        close(beam.words, beam.score, static_cast<size_t>(steps_taken));
  }

  std::vector<Beam> closed;
  bool finished = false;
  int64_t steps_taken = 0;
};

torch::Tensor draws(const std::vector<uint64_t>& seeds, int64_t step, int64_t count) {
  const torch::Tensor steps = torch::full({std::ssize(seeds)}, step, torch::kInt64);
  return NoiseSource(seed_words(seeds, torch::kCPU), steps).uniform("beams", {count});
}

// Runs the search as a model would, with the words of every row kept outside.
struct Search {
  Search(const Language& language, int64_t texts, const BeamOptions& options, int64_t steps,
         std::vector<uint64_t> seeds = {})
      : search(options, texts, torch::kCPU) {
    seeds.resize(static_cast<size_t>(texts), 1);
    std::vector<Words> rows(static_cast<size_t>(texts * options.beams));
    for (int64_t step = 0; step < steps; ++step) {
      if (search.finished().all().item<bool>()) break;
      std::vector<torch::Tensor> scores;
      for (size_t row = 0; row < rows.size(); ++row)
        scores.push_back(language(static_cast<int64_t>(row) / options.beams, rows[row]));
      const BeamSearch::Step next =
          search.advance(torch::stack(scores), draws(seeds, step, options.beams * kVocabulary));
      std::vector<Words> moved;
      for (size_t row = 0; row < rows.size(); ++row) {
        const auto at = static_cast<int64_t>(row);
        moved.push_back(rows[static_cast<size_t>(next.rows[at].item<int64_t>())]);
        moved.back().push_back(next.tokens[at].item<int64_t>());
        EXPECT_NE(moved.back().back(), kEnd);
      }
      rows = moved;
    }
  }
  BeamSearch search;
};

TEST(BeamSearch, FindsWhatTheDescribedSearchFinds) {
  std::set<bool> ends;
  for (const int64_t beams : {1, 2, 3, 5}) {
    for (const double penalty : {0.0, 1.0, -0.7}) {
      for (uint64_t seed = 1; seed <= 6; ++seed) {
        constexpr int64_t kTexts = 3, kSteps = 9;
        const BeamOptions options{beams, kEnd, penalty, false};
        const Language language = toy_language(seed);
        const Search run(language, kTexts, options, kSteps);
        const auto best = run.search.best();
        ASSERT_EQ(best.size(), 3u);
        for (int64_t text = 0; text < kTexts; ++text) {
          const NaiveSearch naive(language, text, options, kSteps);
          ends.insert(naive.finished);
          EXPECT_EQ(run.search.finished()[text].item<bool>(), naive.finished);
          const torch::Tensor& found = best[static_cast<size_t>(text)];
          const Words words(found.data_ptr<int64_t>(), found.data_ptr<int64_t>() + found.numel());
          EXPECT_EQ(words, naive.closed[0].words)
              << beams << " beams, penalty " << penalty << ", seed " << seed << ", text " << text;
        }
      }
    }
  }
  EXPECT_EQ(ends.size(), 2u) << "some texts end, others reach the cap";
}

TEST(BeamSearch, EnoughBeamsFindTheBestOfAllTexts) {
  // Every text of up to three words is compared: 6 + 36 beams hold them all.
  const Language language = toy_language(3);
  std::map<double, Words, std::greater<>> all;
  const std::function<void(const Words&, double)> grow = [&](const Words& words, double sum) {
    const torch::Tensor scores = language(0, words);
    all[sum + scores[kEnd].item<float>()] = words;
    if (words.size() == 2) return;
    for (int64_t v = 0; v < kEnd; ++v) {
      Words longer = words;
      longer.push_back(v);
      grow(longer, sum + scores[v].item<float>());
    }
  };
  grow({}, 0.0);
  const Search run(language, 1, {42, kEnd, 0.0, false}, 3);
  const torch::Tensor best = run.search.best()[0];
  ASSERT_LE(best.numel(), 2);
  EXPECT_EQ(Words(best.data_ptr<int64_t>(), best.data_ptr<int64_t>() + best.numel()),
            all.begin()->second);
}

TEST(BeamSearch, ADrawDependsOnItsTextAlone) {
  const Language language = toy_language(5, 0.5);
  const BeamOptions options{3, kEnd, 0.0, true};
  const Search together(language, 3, options, 8, {11, 12, 13});
  const Language second = [&](int64_t, const Words& words) { return language(1, words); };
  const Search alone(second, 1, options, 8, {12}), other(second, 1, options, 8, {99});
  expect_equal(together.search.best()[1], alone.search.best()[0]);
  EXPECT_FALSE(torch::equal(alone.search.best()[0], other.search.best()[0]));
}

TEST(BeamSearch, DrawsFollowTheProbabilities) {
  // One beam, one step: two draws without replacement, the better one goes on. With p = (0.5, 0.3,
  // 0.2) token 0 is drawn first or second unless 1 and 2 are: 0.3 * 0.2 / 0.7 + 0.2 * 0.3 / 0.8.
  const torch::Tensor scores = torch::tensor({{0.5f, 0.3f, 0.2f}}).log();
  constexpr int kDraws = 4000;
  int first = 0;
  for (int i = 0; i < kDraws; ++i) {
    BeamSearch search({1, 3, 0.0, true}, 1, torch::kCPU);
    first += search.advance(scores, draws({7}, i, 3)).tokens[0].item<int64_t>() == 0;
  }
  const double expected = 1 - (0.3 * 0.2 / 0.7 + 0.2 * 0.3 / 0.8);
  EXPECT_NEAR(static_cast<double>(first) / kDraws, expected, 0.03);
}

TEST(BeamSearch, EndTokenFirstOfAllGivesAnEmptyText) {
  torch::Tensor scores = torch::full({2, kVocabulary}, -20.0f);
  scores.select(1, kEnd).fill_(-1e-3);
  BeamSearch search({2, kEnd, 0.0, false}, 1, torch::kCPU);
  search.advance(scores);
  EXPECT_EQ(search.best()[0].numel(), 0);
  EXPECT_FALSE(search.finished()[0].item<bool>()) << "one hypothesis of two";
}

// Texts that come in later and leave earlier find what they would alone.
TEST(BeamSearch, TextsComeAndGo) {
  const BeamOptions options{3, kEnd, 1.0, false};
  const Language language = toy_language(2);
  constexpr int64_t kSteps = 6;
  const auto advance = [&](BeamSearch& search, std::vector<Words>& rows,
                           const std::vector<int64_t>& texts) {
    std::vector<torch::Tensor> scores;
    for (size_t row = 0; row < rows.size(); ++row)
      scores.push_back(language(texts[row / 3], rows[row]));
    const BeamSearch::Step next = search.advance(torch::stack(scores));
    std::vector<Words> moved;
    for (size_t row = 0; row < rows.size(); ++row) {
      const auto at = static_cast<int64_t>(row);
      moved.push_back(rows[static_cast<size_t>(next.rows[at].item<int64_t>())]);
      moved.back().push_back(next.tokens[at].item<int64_t>());
    }
    rows = moved;
  };
  std::vector<Words> rows(6);
  BeamSearch search(options, 2, torch::kCPU);
  for (int i = 0; i < 2; ++i) advance(search, rows, {0, 1});
  search.keep(torch::tensor({int64_t{1}}), 2);  // text 0 leaves
  rows.erase(rows.begin(), rows.begin() + 3);
  search.join(BeamSearch(options, 1, torch::kCPU));  // text 2 comes
  rows.resize(6);
  for (int i = 2; i < kSteps; ++i) advance(search, rows, {1, 2});
  for (const auto& [place, text, steps] : {std::tuple{0, 1, kSteps}, std::tuple{1, 2, kSteps - 2}}) {
    const NaiveSearch naive(language, text, options, steps);
    const torch::Tensor found = search.best()[static_cast<size_t>(place)];
    EXPECT_EQ(Words(found.data_ptr<int64_t>(), found.data_ptr<int64_t>() + found.numel()),
              naive.closed[0].words)
        << "text " << text;
  }
}

TEST(BeamSearch, WrongUse) {
  EXPECT_THROW(BeamSearch({0, kEnd, 0.0, false}, 1, torch::kCPU), std::logic_error);
  EXPECT_THROW(BeamSearch({1, kEnd, 0.0, false}, 0, torch::kCPU), std::logic_error);
}

}  // namespace
}  // namespace ttsft
