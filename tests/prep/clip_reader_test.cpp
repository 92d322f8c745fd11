#include "src/prep/clip_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

#include "prep/toy_preparer.h"
#include "support/temporary_folder.h"
#include "ttsft/core/signals.h"

namespace ttsft {
namespace {

class Reading : public ::testing::Test {
 protected:
  Reading() {
    const auto file = folder_ / "clip.wav";
    write_wav(file, std::vector<float>(16000, 0.1f), 16000);
    for (int i = 0; i < 20; ++i) {
      Utterance utterance;
      utterance.id = std::to_string(i);
      utterance.audio_path = file;
      utterance.text = "text";
      utterances_.push_back(utterance);
    }
  }
  ClipReader reader(
      WindowLimits limits, ClipReader::Reuse reuse = [](auto&, auto&) { return std::nullopt; }) {
    return {utterances_, preparer_, keys_, policy_, texts_, std::move(reuse), limits};
  }

  TemporaryFolder folder_;
  std::vector<Utterance> utterances_;
  ToyLog log_;
  ToyPreparer preparer_{"", 1000, log_};
  ContentKeys keys_{"toy", "", AudioLimits{}};
  GuardPolicy policy_;
  TextGuards texts_{{}};
};

TEST_F(Reading, WindowsAreBoundedByClips) {
  ClipReader r = reader({.clips = 8, .seconds = 1e9});
  std::vector<size_t> sizes, numbers;
  for (Window window = r.next(); !window.empty(); window = r.next()) {
    sizes.push_back(window.size());
    for (const auto& clip : window) numbers.push_back(clip->number);
  }
  EXPECT_THAT(sizes, testing::ElementsAre(8, 8, 4));
  EXPECT_EQ(numbers.size(), 20u);
  EXPECT_TRUE(std::is_sorted(numbers.begin(), numbers.end()));
  EXPECT_TRUE(r.at_end());
}

TEST_F(Reading, WindowsAreBoundedBySeconds) {
  ClipReader r = reader({.clips = 1000, .seconds = 0.5});  // one second each: one chunk a window
  const Window window = r.next();
  EXPECT_LT(window.size(), 20u);
  EXPECT_NEAR(window[0]->item.seconds, 1, 1e-6);
}

TEST_F(Reading, ReusedClipsTakeNoRoomInAWindow) {
  const PreparedRow earlier{"any", "key", 1.0, {}, {}};
  ClipReader r = reader({.clips = 1000, .seconds = 0.5},
                        [&](const std::string&, const std::string&) { return earlier; });
  EXPECT_EQ(r.next().size(), 20u);
  EXPECT_EQ(log_.loads, 0);
}

TEST_F(Reading, KeepsTheEncodersWaveOnly) {
  ClipReader r = reader({});
  const Window window = r.next();
  EXPECT_EQ(window[0]->item.wave.size(), 16000u);
  EXPECT_TRUE(window[0]->item.audio.samples.empty());
}

TEST_F(Reading, AStopEndsItEarly) {
  install_signal_handlers();
  clear_stop_signal();
  ClipReader r = reader({});
  std::raise(SIGTERM);
  EXPECT_TRUE(r.next().empty());
  clear_stop_signal();
  EXPECT_FALSE(r.at_end());
  r.cancel();
  EXPECT_TRUE(r.next().empty());
}

TEST(ContentKey, ChangesWithEverythingThatDecidesARow) {
  const TemporaryFolder folder;
  Utterance utterance;
  utterance.id = "a";
  utterance.text = "text";
  utterance.audio_path = folder.write("a.wav", "audio");
  utterance.reference_path = folder.write("ref.wav", "reference");
  const AudioLimits limits{.sample_rate = 24000};
  const auto key = [&](bool with_audio = true) {
    return ContentKeys("m", "f", limits).key(utterance, with_audio);
  };
  const std::string first = key();
  EXPECT_EQ(key(), first);
  EXPECT_NE(key(false), first);
  EXPECT_NE(ContentKeys("m", "g", limits).key(utterance, true), first);
  EXPECT_NE(ContentKeys("n", "f", limits).key(utterance, true), first);
  EXPECT_NE(ContentKeys("m", "f", {.sample_rate = 16000}).key(utterance, true), first);
  for (auto field :
       {&Utterance::text, &Utterance::speaker, &Utterance::language, &Utterance::instruct}) {
    const std::string before = utterance.*field;
    utterance.*field = "other";
    EXPECT_NE(key(), first);
    utterance.*field = before;
  }
  utterance.row["audio_codes"] = {1, 2};
  EXPECT_NE(key(), first);
  utterance.row.clear();
  utterance.row = {};
  EXPECT_EQ(key(), first);
  folder.write("a.wav", "other audio");
  EXPECT_NE(key(), first);
  folder.write("a.wav", "audio");
  folder.write("ref.wav", "another reference");
  EXPECT_NE(key(), first);
}

}  // namespace
}  // namespace ttsft
