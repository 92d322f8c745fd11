// Several speakers, in every model: each is asked for by name, and none in another's place.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <set>
#include <utility>

#include "tests/contract/world.h"
#include "ttsft/core/error.h"
#include "ttsft/eval/eval.h"
#include "ttsft/io/atomic_file.h"
#include "ttsft/model/voices.h"
#include "ttsft/synth/synth.h"

namespace ttsft {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr const char* kSpeakers[] = {"anna", "Boris", "clara", "dan"};

class Speakers : public testing::TestWithParam<const ModelAdapter*> {
 protected:
  const ModelAdapter& adapter() { return *GetParam(); }

  // Bright or dark by its tilt, in (-1, 1).
  static std::vector<float> timbre(std::vector<float> samples, float tilt) {
    float before = 0;
    for (float& sample : samples) sample = 0.5f * (std::exchange(before, sample) * -tilt + sample);
    return samples;
  }

  // Two clips of each of four: the same speech at four speeds and colours, which is four voices.
  RunConfig four_speakers() {
    World& world = world_of(adapter());
    std::vector<float> twice = decode_audio(world.folder / "clips/austen-0880.wav").audio.samples;
    twice.reserve(2 * twice.size());
    std::copy_n(twice.begin(), twice.size(), std::back_inserter(twice));
    for (size_t s = 0; s < std::size(kSpeakers); ++s) {
      const int rate = 16000 + 4000 * static_cast<int>(s);
      for (int clip = 0; clip < 2; ++clip) {
        const std::string name =
            std::string(kSpeakers[s]) + "/" + kSpeakers[s] + "_" + std::to_string(clip);
        const auto half = static_cast<std::ptrdiff_t>(twice.size() / 8);
        folder_.write("set/" + name + ".txt", "he was not an");
        write_wav(folder_ / ("set/" + name + ".wav"),
                  timbre({twice.begin() + clip * half, twice.end() - (1 - clip) * half},
                         -0.9f + 0.6f * static_cast<float>(s)),
                  rate);
      }
    }
    RunConfig config = world.config;
    config.data.source = folder_ / "set";
    config.data.prepared = folder_ / "prepared";
    config.data.reference.clear();
    config.data.speaker.clear();
    config.run = folder_ / "run";
    config.data.validation.share = 0.5;
    config.train.steps = 2;
    return config;
  }

  SynthOptions saying(const std::string& speaker) const {
    SynthOptions options;
    options.text = "he was";
    options.out = folder_ / (speaker + "-said.wav");
    options.checkpoints = {"last"};
    options.max_frames = 40;
    return options;
  }

  TemporaryFolder folder_;
};

TEST_P(Speakers, EachHasAVoiceOfItsOwn) {
  if (!adapter().abilities(world_of(adapter()).config.checkpoint).clone)
    GTEST_SKIP() << "it has one voice";
  RunConfig config = four_speakers();
  const auto prepared = run_prep(config, adapter(), {});
  ASSERT_EQ(prepared["speakers"].size(), 4u);
  for (const char* name : kSpeakers) {
    EXPECT_EQ(prepared["speakers"][name]["clips"], 2) << name;
    EXPECT_TRUE(prepared["speakers"][name]["voice"].is_string()) << name;
  }
  run_train(config, adapter(), {});
  EXPECT_EQ(read_voices(resolve_checkpoint(config, "last").folder).size(), 4u);
  const auto report = run_eval(config, adapter(), {});
  EXPECT_EQ(report["checkpoints"][0]["speakers"].size(), 4u);

  std::set<std::string> waves;
  for (const char* name : kSpeakers) {
    config.data.speaker = name;
    const SynthOptions options = saying(name);
    run_synth(config, adapter(), options);
    waves.insert(read_text(options.out));
  }
  EXPECT_EQ(waves.size(), 4u) << "two speakers sound the same to the last bit";

  // In any case of letters, and nobody in the place of one who is not there.
  config.data.speaker = "BORIS";
  const SynthOptions again = saying("again");
  run_synth(config, adapter(), again);
  EXPECT_TRUE(waves.contains(read_text(again.out)));
  for (const char* wrong : {"nobody", ""}) {
    config.data.speaker = wrong;
    EXPECT_THAT(message_of<UsageError>([&] { run_synth(config, adapter(), saying("wrong")); }),
                AllOf(HasSubstr("data.speaker"), HasSubstr("anna"), HasSubstr("dan")))
        << wrong;
  }
}

TEST_P(Speakers, OneReferenceIsNotTheVoiceOfAll) {
  RunConfig config = four_speakers();
  config.data.reference = folder_ / "set/anna/anna_0.wav";
  EXPECT_THAT(message_of<UsageError>([&] { run_prep(config, adapter(), {.dry_run = true}); }),
              HasSubstr("the voice of 4 speakers"));
}

INSTANTIATE_TEST_SUITE_P(Models, Speakers, testing::ValuesIn(all_models()), test_name);

}  // namespace
}  // namespace ttsft
