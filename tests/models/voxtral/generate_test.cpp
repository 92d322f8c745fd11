// The flow's solver and spoken frames against upstream's.
#include "models/voxtral/generate.h"

#include <gtest/gtest.h>

#include "models/voxtral/voices.h"
#include "tests/models/voxtral/voxtral_fixture.h"
#include "tests/support/spoken.h"

namespace ttsft::voxtral::test {
namespace {

constexpr const char* kCases[] = {"s0_codes", "s0_preset", "s1_preset"};

class GenerateTest : public testing::Test {
 protected:
  GenerateTest() : config_(read_config(checkpoint())), tokenizer_(checkpoint()), lm_(loaded_lm()) {}

  torch::Tensor stored(const std::string& name, const char* what) const {
    return expected("synth", name + "." + what);
  }
  torch::Tensor voice(const std::string& name) {
    const std::string reference = expected_json("synth")[name]["reference"];
    if (!reference.starts_with("voice_embedding")) return voice_rows(lm_, clip_codes("ref"));
    return read_voice(checkpoint(), config_, std::filesystem::path(reference).stem());
  }
  std::vector<DecodedRow> speak(const std::vector<std::string>& names, int64_t frames,
                                const RecordedDraws* draws) {
    const c10::InferenceMode inference;
    SpeechModel model(lm_, FlowSolver{}, torch::TensorOptions());
    DecodingPlan plan;
    plan.sampling.greedy = true;
    plan.end = {config_.codec.semantic_codes};
    plan.max_frames = frames;
    std::vector<RowPrompt> prompts;
    for (const std::string& name : names) {
      const std::string text = expected_json("synth")[name]["text"];
      prompts.push_back(
          model.prompt(tokenizer_.prompt(), voice(name), tokenizer_.encode(text), text));
      EXPECT_EQ(prompts.back().inputs.size(0),
                std::ssize(expected_json("synth")[name]["prompt_ids"]));
    }
    FrameDecoder decoder(model, plan, torch::TensorOptions(), draws);
    decoder.admit(prompts);
    return ttsft::test::decode_all(decoder);
  }

  const torch::NoGradGuard no_grad_;
  Config config_;
  Tokenizer tokenizer_;
  Lm lm_;
};

// Codes alone would hide a wrong number of steps: what they are rounded from is compared.
TEST_F(GenerateTest, TheSolverIsUpstreamsStepByStep) {
  FlowHead head(lm_->acoustic_transformer, config_, {});
  for (const char* name : kCases) {
    const torch::Tensor states = stored(name, "hidden"), noise = stored(name, "noise");
    const torch::Tensor ends = stored(name, "ode_x_final"), frames = stored(name, "frames");
    std::vector<torch::Tensor> trace;
    const torch::Tensor values = head.solve(
        noise, states,
        [&](std::string_view, const torch::Tensor& x) { trace.push_back(x[0].clone()); });
    // The row that ends is not computed there.
    for (int64_t f = 0; f < frames.size(0); ++f)
      if (frames[f][0].item<int64_t>() != kEndAudio)
        expect_near_peak(values[f], ends[f], std::string(name) + " frame " + std::to_string(f));
    expect_near_peak(torch::stack(trace), stored(name, "ode_trace_frame0"), name);
  }
}

TEST_F(GenerateTest, OtherStepsAndNoGuidanceAreOtherValues) {
  const torch::Tensor states = stored("s0_codes", "hidden"), noise = stored("s0_codes", "noise");
  const auto solve = [&](const FlowSolver& solver) {
    return FlowHead(lm_->acoustic_transformer, config_, solver).solve(noise, states);
  };
  const torch::Tensor seven = solve({});
  const double peak = seven.abs().max().item<double>();
  for (const FlowSolver& other : {FlowSolver{6, 1.2}, FlowSolver{8, 1.2}, FlowSolver{7, 1.0}}) {
    const double apart = (solve(other) - seven).abs().max().item<double>();
    EXPECT_GT(apart, 2e-3 * peak) << other.steps << " steps, alpha " << other.alpha;
  }
  // Without guidance nothing is computed for it, and nothing of it is left.
  AcousticTransformer flow = lm_->acoustic_transformer;
  torch::Tensor x = noise;
  for (int64_t i = 0; i < 7; ++i) {
    const torch::Tensor time =
        flow->embed_times(torch::full({1}, static_cast<float>(i) / 7)).expand({x.size(0), -1});
    x = x + flow->velocity(x, time, flow->embed_states(states)) / 7;
  }
  expect_near_peak(solve({7, 1.0}), x, "plain Euler", 1e-5);
}

TEST_F(GenerateTest, SpokenFramesAreUpstreams) {
  for (const char* name : kCases) {
    const auto& one = expected_json("synth")[name];
    const RecordedDraws draws = {{kNoise, stored(name, "noise")}};
    const auto rows = speak({name}, one["max_frames"], &draws);
    const int64_t frames = one["n_frames"];
    expect_equal(rows[0].codes + kSpecials,
                 stored(name, "frames").to(torch::kInt64).narrow(0, 0, frames), name);
    EXPECT_EQ(rows[0].reached_limit, !one["stopped_by_end_audio"].get<bool>()) << name;
  }
}

TEST_F(GenerateTest, ARowOfABatchSpeaksAsAlone) {
  const auto together = speak({"s0_codes", "s0_preset", "s1_preset"}, 12, nullptr);
  for (size_t i = 0; i < together.size(); ++i)
    expect_equal(together[i].codes, speak({kCases[i]}, 12, nullptr)[0].codes, kCases[i]);
}

}  // namespace
}  // namespace ttsft::voxtral::test
