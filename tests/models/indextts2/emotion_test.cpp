#include "models/indextts2/emotion.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "models/indextts2/options.h"
#include "tests/models/indextts2/gpt_fixture.h"
#include "tests/support/temporary_folder.h"
#include "ttsft/core/error.h"
#include "ttsft/io/torch_file.h"

namespace ttsft::indextts2::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(Emotion, ExamplesLikeTheVoiceAreUpstreams) {
  const EmotionExamples examples(fixture_config(), torch::kCPU);
  const auto rows = examples.nearest(expected("synth", "greedy.style"));
  const nlohmann::json& want = expected_json("synth")["cases"]["emo_vector"];
  EXPECT_EQ(rows, want["chosen_rows"].get<std::vector<int64_t>>());
  // The voice's own emotion is that of the case without a vector.
  const auto shares = want["emo_vector"].get<std::vector<double>>();
  expect_close(examples.mix(shares, rows, expected("synth", "greedy.emo_vec")),
               expected("synth", "emo_vector.emo_vec"), 1e-4);
}

TEST(Emotion, SharesAreScaledAsUpstream) {
  EXPECT_THAT(scale_shares({0.2, 0.45}, 1.0), ElementsAre(0.2, 0.45));
  EXPECT_THAT(scale_shares({0.2, 0.45}, 0.33), ElementsAre(0.066, 0.1485));
  EXPECT_THAT(scale_shares({0.12345}, 0.5), ElementsAre(0.0617)) << "cut off, not rounded";
  EXPECT_THAT(scale_shares({0.2}, 0.0), ElementsAre(0.0));
}

TEST(Emotion, BlendIsALine) {
  const torch::Tensor voice = torch::tensor({1.0f, 2.0f}), other = torch::tensor({3.0f, -2.0f});
  expect_close(blend_emotions(voice, other, 0.0), voice, 0);
  expect_close(blend_emotions(voice, other, 1.0), other, 1e-6);
  expect_close(blend_emotions(voice, other, 0.25), torch::tensor({1.5f, 1.0f}), 1e-6);
}

TEST(Emotion, RandomExamplesDependOnTheSeed) {
  const EmotionExamples examples(fixture_config(), torch::kCPU);
  const auto& groups = fixture_config().emotion_groups;
  std::set<std::vector<int64_t>> seen;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const auto rows = examples.random(seed);
    EXPECT_EQ(rows, examples.random(seed));
    for (size_t i = 0; i < rows.size(); ++i) EXPECT_LT(rows[i], groups[i]);
    seen.insert(rows);
  }
  EXPECT_GT(seen.size(), 10u);
}

TEST(Emotion, RefusesMatricesThatDoNotFit) {
  const TemporaryFolder folder;
  const torch::Tensor rows = torch::zeros({73, 5});
  write_torch_file(folder / "feat2.pt", {view_tensor("", rows)});
  Config config = fixture_config();
  config.emotion_matrix = folder / "feat2.pt";
  EXPECT_THAT(message_of<DataError>([&] { EmotionExamples(config, torch::kCPU); }),
              HasSubstr("feat2.pt"));
  config = fixture_config();
  config.emotion_groups.pop_back();
  EXPECT_THAT(message_of<DataError>([&] { EmotionExamples(config, torch::kCPU); }),
              HasSubstr("emo_num"));
}

TEST(Options, SayWhatIsWrong) {
  const auto refusal = [](const std::function<void(Options&)>& change) {
    Options options;
    change(options);
    return message_of<UsageError>([&] { options.validate(); });
  };
  Options().validate();
  EXPECT_THAT(refusal([](Options& o) {
                o.emotion_vector = {0.1, 0.2};
              }),
              HasSubstr("has 2 shares"));
  EXPECT_THAT(refusal([](Options& o) { o.emotion_vector.assign(8, 1.3); }), HasSubstr("0..1.2"));
  EXPECT_THAT(refusal([](Options& o) { o.emotion_alpha = 1.5; }), HasSubstr("emotion_alpha"));
  EXPECT_THAT(refusal([](Options& o) { o.mel_weight = 0; }), HasSubstr("mel_weight"));
  EXPECT_THAT(refusal([](Options& o) { o.pairs = 0; }), HasSubstr("pairs"));
  EXPECT_THAT(refusal([](Options& o) { o.diffusion_steps = 0; }), HasSubstr("diffusion_steps"));
  EXPECT_THAT(refusal([](Options& o) { o.duration_factor = 0; }), HasSubstr("duration_factor"));
}

}  // namespace
}  // namespace ttsft::indextts2::test
