// The sampler, the repetition rule and what is decoded, against upstream.
#include "models/fish_s2_pro/generate.h"

#include <gtest/gtest.h>

#include "tests/models/fish_s2_pro/fish_fixture.h"
#include "tests/support/spoken.h"
#include "ttsft/core/error.h"

namespace ttsft::fish_s2_pro::test {
namespace {

using Ids = std::vector<int64_t>;

TEST(Sampler, ProbabilitiesAndDrawsAreUpstreams) {
  const torch::Tensor scores = expected("synth", "sampler.logits").unsqueeze(0),
                      uniform = expected("synth", "sampler.uniform").unsqueeze(0);
  const auto& cases = expected_json("synth")["sampler"];
  ASSERT_GE(cases.size(), 6u);
  for (size_t i = 0; i < cases.size(); ++i) {
    const SamplingOptions sampling =
        fish_sampling(cases[i]["temperature"], cases[i]["top_p"], cases[i]["top_k"]);
    const torch::Tensor probabilities = filter_scores(scores, sampling).softmax(-1)[0];
    expect_close(probabilities, expected("synth", "sampler." + std::to_string(i) + ".probs"), 1e-6,
                 std::to_string(i));
    EXPECT_EQ(pick_tokens(scores, sampling, uniform).item<int64_t>(),
              cases[i]["token_from_uniform"].get<int64_t>())
        << i;
  }
}

class GenerateTest : public testing::Test {
 protected:
  GenerateTest()
      : config_(read_config(fixture().path("checkpoint"))),
        tokenizer_(fixture().path("checkpoint")),
        model_(load_dual_ar(fixture().path("checkpoint"), config_, torch::kCPU, torch::kFloat32)),
        lm_(model_, tokenizer_, torch::TensorOptions()) {}

  RowPrompt prompt(const std::string& text) {
    const c10::InferenceMode inference;
    PromptBuilder builder(tokenizer_);
    builder.system({});
    builder.user(text);
    builder.assistant();
    return lm_.prompt(builder.take(), text);
  }
  // The stochastic frame of the fixture, its uniforms repeated `frames` times.
  RecordedDraws draws(int64_t frames) const {
    Noise noise;
    for (const char* name : {"uniform_slow_normal", "uniform_slow_high", "uniform_fast"}) {
      const torch::Tensor one = expected("synth", std::string("stoch.") + name).unsqueeze(0);
      noise[name] = torch::cat(std::vector<torch::Tensor>(static_cast<size_t>(frames), one));
    }
    return recorded_draws(noise, tokenizer_, config_);
  }

  Config config_;
  Tokenizer tokenizer_;
  DualAr model_;
  DualArLm lm_;
};

TEST_F(GenerateTest, GreedySpeechIsUpstreams) {
  SamplingOptions sampling = fish_sampling(1, 0.9, 1);
  lm_.set_sampling(sampling);
  const auto& plain = expected_json("synth")["plain"];
  const auto frames = static_cast<int64_t>(plain["codes"][0].size());
  const RowPrompt row = prompt(plain["text"]);
  EXPECT_EQ(row.inputs.size(0), plain["prompt_length"].get<int64_t>());
  const auto rows =
      ttsft::test::decode_all(lm_, decoding_plan(sampling, tokenizer_.semantic_codes(), frames),
                              torch::TensorOptions(), {row});
  expect_equal(rows[0].codes, expected("synth", "codes.plain").t().to(torch::kInt64));
  EXPECT_TRUE(rows[0].reached_limit) << "and no frame is lost there";
}

TEST_F(GenerateTest, ASampledFrameIsUpstreamsWithAndWithoutTheRepetitionRule) {
  const auto& wanted = expected_json("synth")["stochastic_frame"];
  const SamplingOptions sampling =
      fish_sampling(wanted["temperature"], wanted["top_p"], wanted["top_k"]);
  lm_.set_sampling(sampling);
  const Ids off = wanted["frame_ras_off"], on = wanted["frame_ras_on"];
  ASSERT_NE(off[0], on[0]);
  const RecordedDraws recorded = draws(1);
  DecodingPlan plan = decoding_plan(sampling, tokenizer_.semantic_codes(), 1);
  const RowPrompt row = prompt(wanted["text"]);
  FrameDecoder decoder(lm_, plan, torch::TensorOptions(), &recorded);
  decoder.admit(std::span(&row, 1));
  const auto first = ttsft::test::decode_all(decoder);
  expect_equal(first[0].codes[0], torch::tensor(Ids(off.begin() + 1, off.end())), "off");
  EXPECT_EQ(off[0] - tokenizer_.semantic_begin(), off[1]);

  // The same scores, when the token stands among the latest ten: the other draw.
  const c10::InferenceMode inference;
  KvCache cache = lm_.make_cache(1, 64);
  const torch::Tensor hidden = lm_.forward(row.inputs.unsqueeze(0), cache);
  const torch::Tensor state = lm_.norm(hidden.select(1, hidden.size(1) - 1));
  const torch::Tensor tokens = torch::zeros({1, 16}, torch::kInt64);
  const torch::Tensor step = torch::zeros({1}, torch::kInt64);
  const NoiseSource noise(seed_words({1}, torch::kCPU), step, &recorded);
  const auto choose = [&](int64_t said, int64_t at) {
    torch::Tensor latest = tokens.clone();
    latest[0][at] = said;
    const TokenHistory history{{}, latest, torch::full({1}, 11, torch::kInt64)};
    return choose_tokens(lm_.logits(state), plan.sampling, plan.aware, history, noise)
        .item<int64_t>();
  };
  EXPECT_EQ(choose(off[1], 10), on[1]);
  EXPECT_EQ(choose(off[1], 1), on[1]) << "the tenth before";
  EXPECT_EQ(choose(off[1], 0), off[1]) << "the first token is not remembered";
  const torch::Tensor frame =
      lm_.head()->finish(state, torch::tensor({on[1]}, torch::kInt64), noise);
  expect_equal(frame[0], torch::tensor(Ids(on.begin() + 1, on.end())), "on");
}

// Upstream's loop over the same uniforms in every frame: what was said is drawn again.
TEST_F(GenerateTest, SeveralSampledFramesFollowUpstreamsLoop) {
  const auto& wanted = expected_json("synth")["stochastic_frame"];
  const SamplingOptions sampling =
      fish_sampling(wanted["temperature"], wanted["top_p"], wanted["top_k"]);
  lm_.set_sampling(sampling);
  constexpr int64_t kFrames = 14;
  const RecordedDraws recorded = draws(kFrames);
  const DecodingPlan plan = decoding_plan(sampling, tokenizer_.semantic_codes(), kFrames);
  const RowPrompt row = prompt(wanted["text"]);
  FrameDecoder decoder(lm_, plan, torch::TensorOptions(), &recorded);
  decoder.admit(std::span(&row, 1));
  const torch::Tensor codes = ttsft::test::decode_all(decoder)[0].codes;

  const c10::InferenceMode inference;
  const auto draw = [](const torch::Tensor& scores, double t, double p, int64_t k,
                       const torch::Tensor& u) {
    const auto [sorted, order] = scores.sort(-1, true);
    const torch::Tensor sums = sorted.softmax(-1).cumsum(-1);
    torch::Tensor kept = scores.clone();
    for (int64_t rank = 1; rank < scores.size(0); ++rank)
      if (sums[rank].item<double>() > p || rank >= k) kept[order[rank]] = -INFINITY;
    return ((kept / t).softmax(-1) / -u.log()).argmax().item<int64_t>();
  };
  std::vector<int64_t> latest(10, -1);  // as upstream's window, in codes; none at first
  torch::Tensor x = row.inputs;
  for (int64_t f = 0; f < codes.size(0); ++f) {
    const torch::Tensor state =
        model_->norm(model_->slow()->forward(x.unsqueeze(0))[0].slice(0, x.size(0) - 1));
    const torch::Tensor scores = lm_.logits(state)[0];
    const auto& n = sampling;
    int64_t token = draw(scores, n.temperature, n.top_p, n.top_k, recorded.at("token")[f]);
    const int64_t again = draw(scores, 1.0, 0.9, n.top_k, recorded.at("token again")[f]);
    if (std::find(latest.begin(), latest.end(), token) != latest.end()) token = again;
    if (f > 0) {
      latest.erase(latest.begin());
      latest.push_back(token);
    }
    std::vector<int64_t> frame = {token};
    for (int64_t level = 1; level < 10; ++level) {
      std::vector<int64_t> padded = frame;
      padded.resize(10);
      const torch::Tensor out = model_->fast_output(
          model_->depth(state, torch::tensor(padded, torch::kInt64).unsqueeze(0)))[0][level];
      frame.push_back(
          draw(out, n.temperature, n.top_p, n.top_k, recorded.at("levels")[f][level - 1]));
    }
    const torch::Tensor made = torch::tensor(frame, torch::kInt64);
    expect_equal(codes[f], made, std::to_string(f));
    x = torch::cat({x, lm_.embed(made.unsqueeze(0), torch::zeros({1}, torch::kInt64))});
  }
  EXPECT_GT(codes.size(0), 11) << "the window fills";
}

TEST_F(GenerateTest, NoiseIsCheckedByNameAndShape) {
  EXPECT_THROW(recorded_draws({{"sub_talker", torch::rand({1, 9})}}, tokenizer_, config_),
               DataError);
  EXPECT_THROW(recorded_draws({{"uniform_fast", torch::rand({1, 9, 1024})}}, tokenizer_, config_),
               DataError);
  EXPECT_THROW(recorded_draws({{"uniform_slow_high", torch::rand({1, 4096})}}, tokenizer_, config_),
               DataError);
}

TEST_F(GenerateTest, APromptWithoutRoomToSpeakIsRefused) {
  std::string text = "<|speaker:0|>";
  while (std::ssize(text) < 3 * config_.max_seq_len) text += "words and words ";
  EXPECT_THROW(prompt(text), UsageError);
}

}  // namespace
}  // namespace ttsft::fish_s2_pro::test
