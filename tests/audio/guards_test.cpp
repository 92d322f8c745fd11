#include "ttsft/audio/guards.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "audio/audio_support.h"
#include "ttsft/core/error.h"

namespace ttsft {
namespace {

using namespace testing_audio;
using testing::AllOf;
using testing::HasSubstr;

constexpr AudioLimits kLimits{.sample_rate = 24000, .min_seconds = 0.5, .max_seconds = 20};

AudioFile file_of(std::vector<float> samples, int sample_rate = 24000) {
  AudioFile file;
  file.channel_rms = {rms(samples)};
  file.audio = {std::move(samples), sample_rate};
  file.channels = 1;
  return file;
}

AudioFile good() {
  return file_of(speech_like(24000, 2));
}

std::vector<Finding> check(const AudioFile& file, const GuardPolicy& policy = {},
                           const AudioLimits& limits = kLimits) {
  return check_audio(file, measure(file.audio), limits, policy);
}

// The findings of one guard; every message is one line that fits into a report.
std::vector<std::string> messages(const AudioFile& file, const std::string& guard,
                                  const AudioLimits& limits = kLimits) {
  std::vector<std::string> found;
  for (const Finding& finding : check(file, {}, limits)) {
    EXPECT_THAT(finding.message, testing::Not(HasSubstr("\n")));
    if (finding.guard == guard) found.push_back(finding.message);
  }
  return found;
}

TEST(Guards, AGoodFileHasNoFindings) {
  EXPECT_TRUE(check(good()).empty());
}

TEST(Guards, Empty) {
  const auto findings = check(file_of({}));
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_EQ(findings[0].guard, "audio_empty");
  EXPECT_EQ(findings[0].action, GuardAction::kRefuse);
  EXPECT_TRUE(messages(good(), "audio_empty").empty());
}

TEST(Guards, Nan) {
  AudioFile file = good();
  file.audio.samples[7] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(messages(file, "audio_nan"), testing::ElementsAre(HasSubstr("samples: 1;")));
  EXPECT_EQ(check(file).front().action, GuardAction::kRefuse);
  EXPECT_TRUE(messages(good(), "audio_nan").empty());
}

TEST(Guards, Silent) {
  EXPECT_EQ(messages(file_of(std::vector<float>(24000)), "audio_silent").size(), 1u);
  EXPECT_EQ(messages(file_of(noise(24000, 1, 2e-5)), "audio_silent").size(), 1u);
  EXPECT_TRUE(messages(file_of(noise(24000, 1, 2e-3)), "audio_silent").empty());
  EXPECT_EQ(check(file_of(std::vector<float>(24000))).front().action, GuardAction::kRefuse);
}

TEST(Guards, BandwidthNamesAnUpsampledFile) {
  const auto upsampled = resample_soxr(speech_like(16000, 2), 16000, 44100);
  EXPECT_THAT(messages(file_of(upsampled, 44100), "bandwidth"),
              testing::ElementsAre(AllOf(HasSubstr("44.1 kHz file"), HasSubstr("kHz"),
                                         HasSubstr("12 kHz"), HasSubstr("data.guards"))));
  EXPECT_TRUE(messages(file_of(speech_like(44100, 2), 44100), "bandwidth").empty());
  EXPECT_TRUE(messages(file_of(speech_like(22050, 2), 22050), "bandwidth").empty());
}

TEST(Guards, BandwidthJudgesByWhatTheEncoderHears) {
  const AudioFile narrow = file_of(speech_like(16000, 2), 16000);
  EXPECT_EQ(messages(narrow, "bandwidth").size(), 1u);
  AudioLimits limits = kLimits;
  limits.sample_rate = 16000;
  EXPECT_TRUE(messages(narrow, "bandwidth", limits).empty());
  limits.sample_rate = 0;  // no encoder named: the file's own rate
  EXPECT_TRUE(messages(narrow, "bandwidth", limits).empty());
  const AudioFile upsampled = file_of(resample_soxr(narrow.audio.samples, 16000, 44100), 44100);
  EXPECT_EQ(messages(upsampled, "bandwidth", limits).size(), 1u);
}

TEST(Guards, RecordedSpeechAt16kHzWarnsOncePerFile) {
  for (const char* id : {"0870", "0880", "0890", "0920", "0930"}) {
    const auto found = check(decode_audio(kAusten / ("austen-" + std::string(id) + ".wav")));
    ASSERT_EQ(found.size(), 1u) << id;
    EXPECT_EQ(found[0].guard, "bandwidth");
    EXPECT_EQ(found[0].action, GuardAction::kWarn);
    EXPECT_THAT(found[0].message, AllOf(HasSubstr("16 kHz file"), HasSubstr("24 kHz"),
                                        HasSubstr("12 kHz"), HasSubstr("original recording")));
  }
}

TEST(Guards, Clipping) {
  AudioFile file = good();
  for (float& x : file.audio.samples) x = std::clamp(x * 40, -1.0f, 1.0f);
  EXPECT_THAT(messages(file, "clipping"), testing::ElementsAre(HasSubstr("clipped")));
  EXPECT_TRUE(messages(good(), "clipping").empty());
}

TEST(Guards, Silence) {
  const auto padded = [](double before, double behind) {
    auto samples = speech_like(24000, 4);
    samples.insert(samples.begin(), size_t(before * 24000), 0.0f);
    samples.insert(samples.end(), size_t(behind * 24000), 0.0f);
    return file_of(samples);
  };
  EXPECT_THAT(messages(padded(1.5, 0), "silence"), testing::ElementsAre(HasSubstr("1.5 s before")));
  EXPECT_THAT(messages(padded(0, 2), "silence"), testing::ElementsAre(HasSubstr("2.0 s behind")));
  EXPECT_TRUE(messages(padded(0.5, 0.5), "silence").empty());
  auto hollow = speech_like(24000, 4);
  std::fill(hollow.begin() + 12000, hollow.end() - 12000, 0.0f);
  EXPECT_THAT(messages(file_of(hollow), "silence"), testing::ElementsAre(HasSubstr("in all")));
  EXPECT_TRUE(messages(file_of(std::vector<float>(48000)), "silence").empty());  // audio_silent's
}

TEST(Guards, Length) {
  EXPECT_EQ(messages(file_of(speech_like(24000, 0.4)), "length_short").size(), 1u);
  EXPECT_TRUE(messages(file_of(speech_like(24000, 0.6)), "length_short").empty());
  EXPECT_EQ(messages(file_of(speech_like(24000, 21)), "length_long").size(), 1u);
  EXPECT_TRUE(messages(file_of(speech_like(24000, 19)), "length_long").empty());
}

TEST(Guards, Channels) {
  AudioFile file = good();
  file.channels = 2;
  const double level = rms(file.audio.samples);
  file.channel_rms = {level, level};
  EXPECT_TRUE(messages(file, "channels").empty());
  file.channel_rms = {2 * level, 0};
  EXPECT_THAT(messages(file, "channels"),
              testing::ElementsAre(HasSubstr("channel 2 of 2 is silent")));
  file.channel_rms = {50 * level, 50 * level};  // what is left after averaging is a fiftieth
  EXPECT_THAT(messages(file, "channels"), testing::ElementsAre(HasSubstr("cancel")));
}

TEST(Guards, RefusalsComeFirst) {
  AudioFile file = file_of(speech_like(24000, 0.4));
  GuardPolicy policy;
  EXPECT_EQ(check(file, policy).front().action, GuardAction::kWarn);
  file.audio.samples[0] = std::numeric_limits<float>::infinity();
  policy.set("audio_nan", "warn");
  policy.set("length_short", "refuse");
  const auto findings = check(file, policy);
  ASSERT_EQ(findings.size(), 2u);
  EXPECT_EQ(findings[0].guard, "length_short");
  EXPECT_EQ(findings[0].action, GuardAction::kRefuse);
  EXPECT_EQ(findings[1].guard, "audio_nan");
  policy.set("length_short", "off");
  policy.set("audio_nan", "off");
  EXPECT_TRUE(check(file, policy).empty());
}

TEST(GuardPolicy, KnowsEveryGuardAndItsDefault) {
  const GuardPolicy policy;
  for (const GuardInfo& info : audio_guards()) {
    EXPECT_EQ(policy.action(info.name), info.action) << info.name;
    EXPECT_FALSE(info.help.empty()) << info.name;
  }
  for (const char* name :
       {"audio_missing", "audio_empty", "audio_nan", "audio_silent", "text_empty"}) {
    EXPECT_EQ(policy.action(name), GuardAction::kRefuse) << name;
  }
  for (const char* name : {"bandwidth", "clipping", "silence", "length_short", "length_long",
                           "channels", "resampling"}) {
    EXPECT_EQ(policy.action(name), GuardAction::kWarn) << name;
  }
}

TEST(GuardPolicy, UnknownNamesAreUsageErrorsWithTheNearest) {
  GuardPolicy policy;
  try {
    policy.set("bandwith", "off");
    FAIL();
  } catch (const UsageError& e) {
    EXPECT_THAT(e.what(), AllOf(HasSubstr("bandwith"), HasSubstr("'bandwidth'")));
  }
  try {
    policy.set("bandwidth", "ignore");
    FAIL();
  } catch (const UsageError& e) {
    EXPECT_THAT(e.what(), AllOf(HasSubstr("ignore"), HasSubstr("refuse, warn or off")));
  }
  EXPECT_THROW(policy.action("nothing"), UsageError);
}

}  // namespace
}  // namespace ttsft
