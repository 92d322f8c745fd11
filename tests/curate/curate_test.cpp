#include "ttsft/curate/curate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "curate_support.h"
#include "support/temporary_folder.h"
#include "ttsft/core/error.h"
#include "ttsft/data/csv.h"
#include "ttsft/data/importers.h"
#include "ttsft/io/atomic_file.h"
#include "ttsft/judge/judge_files.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Key;

std::string srt_time(double seconds) {
  char text[32];
  const int ms = static_cast<int>(std::lround(seconds * 1000));
  std::snprintf(text, sizeof text, "%02d:%02d:%02d,%03d", ms / 3600000, ms / 60000 % 60,
                ms / 1000 % 60, ms % 1000);
  return text;
}

std::string srt_of(const MadeRecording& made) {
  std::string text;
  int number = 0;
  for (const SpokenPart& part : made.parts)
    if (!part.text.empty())
      text += std::to_string(++number) + "\n" + srt_time(part.begin) + " --> " +
              srt_time(part.end) + "\n" + part.text + "\n\n";
  return text;
}

std::vector<ordered_json> lines_of(const fs::path& file) {
  std::vector<ordered_json> lines;
  std::istringstream text(read_text(file));
  for (std::string line; std::getline(text, line);) lines.push_back(ordered_json::parse(line));
  return lines;
}

std::multiset<std::string> reasons_of(const fs::path& out) {
  std::multiset<std::string> reasons;
  for (const ordered_json& line : lines_of(out / "dropped.jsonl"))
    reasons.insert(line["reason"].get<std::string>());
  return reasons;
}

// A row's cells by column.
std::vector<std::map<std::string, std::string>> rows_of(const fs::path& out) {
  const CsvTable table = read_csv(out / "metadata.csv");
  std::vector<std::map<std::string, std::string>> rows;
  for (const auto& cells : table.rows) {
    auto& row = rows.emplace_back();
    for (size_t i = 0; i < cells.size(); ++i) row[table.columns[i]] = cells[i];
  }
  return rows;
}

class Curate : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!find_judge("silero_vad/silero_vad_16k_op15.onnx"))
      GTEST_SKIP() << "no weights of Silero VAD here; tools/setup fetches them";
    fs::create_directories(recordings_);
  }

  void record(const std::string& name, const MadeRecording& made) {
    write_wav(recordings_ / (name + ".wav"), made.samples, 16000);
    write_text_atomic(recordings_ / (name + ".srt"), srt_of(made));
  }

  CurateOptions options() const {
    CurateOptions options;
    options.recordings = {recordings_};
    options.out = out_;
    options.transcripts = recordings_;
    return options;
  }

  static bool tells_voices() { return find_judge("resemblyzer/pretrained.pt").has_value(); }

  // Every sentence a clip of its own, whose speech is where it was put.
  void expect_sentences(const MadeRecording& made) {
    const auto rows = rows_of(out_);
    size_t at = 0;
    for (const SpokenPart& part : made.parts) {
      if (part.text.empty()) continue;
      ASSERT_LT(at, rows.size());
      const auto& row = rows[at++];
      EXPECT_NEAR(std::stod(row.at("speech_start")), part.speech_begin, 0.05) << part.id;
      EXPECT_NEAR(std::stod(row.at("speech_end")), part.speech_end, 0.05) << part.id;
      // The clip is that piece of the recording, margins included.
      const Audio clip = decode_audio(out_ / row.at("file_name")).audio;
      const double begin = std::stod(row.at("start")), end = std::stod(row.at("end"));
      EXPECT_NEAR(clip.seconds(), end - begin, 0.001);
      EXPECT_NEAR(begin, std::stod(row.at("speech_start")) - 0.15, 0.002);
      expect_same_sound(clip, made, begin);
    }
    EXPECT_EQ(at, rows.size());
  }

  static void expect_same_sound(const Audio& clip, const MadeRecording& made, double begin) {
    const auto first = static_cast<size_t>(std::lround(begin * 16000));
    double ab = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < clip.samples.size() && first + i < made.samples.size(); ++i) {
      const double a = clip.samples[i], b = made.samples[first + i];
      ab += a * b;
      aa += a * a;
      bb += b * b;
    }
    EXPECT_GT(ab / std::sqrt(aa * bb), 0.999);
  }

  TemporaryFolder folder_;
  fs::path recordings_ = folder_ / "recordings", out_ = folder_ / "data";
};

TEST_F(Curate, SubtitlesGiveTheSameSentences) {
  const MadeRecording made = make_recording();
  record("chapter_01", made);
  const ordered_json result = run_curate(options());
  expect_sentences(made);
  const auto rows = rows_of(out_);
  for (size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(rows[i].at("text"), sentences()[i].second);
    EXPECT_EQ(rows[i].at("recording"), "chapter_01");
    EXPECT_EQ(rows[i].at("speaker"), "speaker1");
  }
  EXPECT_EQ(result["clips"], 5);
  EXPECT_EQ(reasons_of(out_), (std::multiset<std::string>{"no_text", "no_text"}));
}

TEST_F(Curate, PrepTakesTheTable) {
  record("chapter_01", make_recording());
  run_curate(options());
  const ImportedSet set = import_set(out_, {});
  ASSERT_EQ(set.utterances.size(), 5u);
  EXPECT_TRUE(set.rejected.empty());
  EXPECT_EQ(set.utterances[0].id, "chapter_01_0001");
  EXPECT_EQ(set.utterances[0].text, sentences()[0].second);
  EXPECT_EQ(set.utterances[0].speaker, "speaker1");
  EXPECT_EQ(set.utterances[0].recording, "chapter_01");
}

TEST_F(Curate, ClipsHaveOneLevel) {
  MadeRecording quiet = make_recording(0.8, false);
  record("b", quiet);
  for (float& x : quiet.samples) x *= 0.05f;
  record("a", quiet);
  run_curate(options());
  std::map<std::string, double> levels;
  for (const auto& row : rows_of(out_)) {
    double power = 0;
    const Audio clip = decode_audio(out_ / row.at("file_name")).audio;
    for (const float x : clip.samples) power += static_cast<double>(x) * x;
    levels[row.at("recording")] += power / static_cast<double>(clip.samples.size());
  }
  EXPECT_NEAR(10 * std::log10(levels["a"] / levels["b"]), 0, 0.2);
}

TEST_F(Curate, ASecondCallTakesOnlyWhatIsNew) {
  record("chapter_01", make_recording());
  run_curate(options());
  // Somebody corrects a text and takes a clip out.
  CsvTable table = read_csv(out_ / "metadata.csv");
  table.rows[1][table.column("text")] = "He was, \"in short\", no ill man.";
  table.rows.erase(table.rows.begin());
  std::string text = csv_record(table.columns) + "\n";
  for (const auto& row : table.rows) text += csv_record(row) + "\n";
  write_text_atomic(out_ / "metadata.csv", text);
  const auto before = fs::last_write_time(out_ / "wavs/chapter_01_0002.wav");

  record("chapter_02", make_recording(1.1));
  const ordered_json result = run_curate(options());
  EXPECT_EQ(result["new"], 1);
  EXPECT_EQ(result["unchanged"], 1);
  EXPECT_EQ(result["clips"], 9);
  EXPECT_EQ(result["dropped"]["taken_out"]["clips"], 1);
  const auto rows = rows_of(out_);
  ASSERT_EQ(rows.size(), 9u);
  EXPECT_EQ(rows[0].at("text"), "He was, \"in short\", no ill man.");
  EXPECT_EQ(rows[4].at("recording"), "chapter_02");
  for (const auto& row : rows) EXPECT_EQ(row.at("speaker"), "speaker1");
  EXPECT_EQ(fs::last_write_time(out_ / "wavs/chapter_01_0002.wav"), before);
  EXPECT_EQ(lines_of(out_ / "dropped.jsonl").size(), 4u);

  const std::string all = read_text(out_ / "metadata.csv");
  EXPECT_EQ(run_curate(options())["new"], 0);
  EXPECT_EQ(read_text(out_ / "metadata.csv"), all);
}

TEST_F(Curate, ARecordingThatChangedIsTakenAnew) {
  record("chapter_01", make_recording());
  run_curate(options());
  record("chapter_01", make_recording(1.3));
  EXPECT_EQ(run_curate(options())["new"], 1);
  const auto rows = rows_of(out_);
  ASSERT_EQ(rows.size(), 5u);
  expect_sentences(make_recording(1.3));
  EXPECT_EQ(lines_of(out_ / "dropped.jsonl").size(), 2u);
}

TEST_F(Curate, OtherSettingsWantAnotherFolder) {
  record("chapter_01", make_recording());
  run_curate(options());
  CurateOptions other = options();
  other.pause = 0.6;
  try {
    run_curate(other);
    FAIL() << "no error";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), HasSubstr("pause was 0.4, is 0.6"));
  }
}

TEST_F(Curate, OneBadRecordingDoesNotEndTheSet) {
  record("chapter_01", make_recording());
  folder_.write("recordings/broken.mp3", "this is no mp3");
  folder_.write("recordings/broken.srt", "1\n00:00:01,000 --> 00:00:02,000\nHello.\n");
  write_wav(recordings_ / "silent.wav", std::vector<float>(48000, 0.0f), 16000);
  write_wav(recordings_ / "untold.wav", make_recording().samples, 16000);
  folder_.write("recordings/silent.srt", "1\n00:00:01,000 --> 00:00:02,000\nHello.\n");
  // Another content than chapter_01's, so that it is no twin of it.
  write_wav(recordings_ / "untold.wav", make_recording(1.5).samples, 16000);
  const ordered_json result = run_curate(options());
  EXPECT_EQ(result["clips"], 5);
  std::set<std::string> refused;
  for (const ordered_json& one : result["refused"])
    refused.insert(one["recording"].get<std::string>());
  EXPECT_EQ(refused, (std::set<std::string>{"broken", "silent", "untold"}));
}

TEST_F(Curate, MusicNoiseAndChannelsAreHeard) {
  MadeRecording made = make_recording(0.8, false);
  std::mt19937 random(3);
  std::normal_distribution<float> noise(0, 0.02f);
  // The second sentence in noise.
  const auto first = static_cast<size_t>((made.parts[1].begin - 0.7) * 16000);
  const auto last = static_cast<size_t>((made.parts[1].end + 0.7) * 16000);
  for (size_t i = first; i < last; ++i) made.samples[i] += noise(random);
  record("chapter_01", made);
  run_curate(options());
  EXPECT_EQ(rows_of(out_).size(), 4u);
  EXPECT_EQ(reasons_of(out_), (std::multiset<std::string>{"noise"}));
  EXPECT_TRUE(fs::exists(out_ / "aside/chapter_01_0002.wav"));
}

TEST_F(Curate, AnotherVoiceIsSetAside) {
  if (!tells_voices()) GTEST_SKIP() << "no speaker encoder here; tools/setup fetches it";
  MadeRecording made = make_recording();
  for (SpokenPart& part : made.parts)
    if (part.id == "other") part.text = "Please hold the line.";
  record("chapter_01", made);
  CurateOptions named = options();
  named.speaker = "reader";
  const ordered_json result = run_curate(named);
  EXPECT_EQ(result["clips"], 5);
  for (const auto& row : rows_of(out_)) EXPECT_EQ(row.at("speaker"), "reader");
  EXPECT_EQ(reasons_of(out_), (std::multiset<std::string>{"stranger", "stranger"}));
}

TEST_F(Curate, TheWantedVoiceIsKept) {
  if (!tells_voices()) GTEST_SKIP() << "no speaker encoder here; tools/setup fetches it";
  MadeRecording made = make_recording();
  for (SpokenPart& part : made.parts)
    if (part.id == "other") part.text = "Please hold the line.";
  record("chapter_01", made);
  CurateOptions wanted = options();
  wanted.voice = TTSFT_FIXTURES "/espeak/please_hold.wav";
  EXPECT_EQ(run_curate(wanted)["clips"], 2);
  for (const auto& row : rows_of(out_)) EXPECT_EQ(row.at("text"), "Please hold the line.");
}

TEST_F(Curate, TwoVoicesMayBeKept) {
  if (!tells_voices()) GTEST_SKIP() << "no speaker encoder here; tools/setup fetches it";
  MadeRecording made = make_recording();
  for (SpokenPart& part : made.parts)
    if (part.id == "other") part.text = "Please hold the line.";
  record("chapter_01", made);
  CurateOptions two = options();
  two.speakers = 2;
  const ordered_json result = run_curate(two);
  ASSERT_EQ(result["speakers"].size(), 2u);
  EXPECT_EQ(result["speakers"][0]["name"], "speaker1");
  EXPECT_EQ(result["speakers"][0]["clips"], 5);
  EXPECT_EQ(result["speakers"][1]["clips"], 2);
}

TEST_F(Curate, VoicesAtOnceAreNoClip) {
  if (!tells_voices()) GTEST_SKIP() << "no speaker encoder here; tools/setup fetches it";
  MadeRecording made = make_recording(0.8, false);
  const std::vector<float> other = other_voice();
  const auto at = static_cast<size_t>((made.parts[0].begin + 1.5) * 16000);
  for (size_t i = 0; i < other.size(); ++i) made.samples[at + i] += other[i];
  record("chapter_01", made);
  const ordered_json result = run_curate(options());
  EXPECT_EQ(result["clips"], 4) << result.dump();
  EXPECT_EQ(reasons_of(out_), (std::multiset<std::string>{"overlap"}));
}

TEST_F(Curate, WrongUsageIsOneLine) {
  const auto error_of = [&](const CurateOptions& wrong) -> std::string {
    try {
      run_curate(wrong);
    } catch (const UsageError& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_THAT(error_of(options()), HasSubstr("no recording"));
  record("chapter_01", make_recording(0.8, false));
  CurateOptions wrong = options();
  wrong.transcripts.clear();
  EXPECT_THAT(error_of(wrong), HasSubstr("--transcripts DIR"));
  wrong = options();
  wrong.pause = 0.05;
  EXPECT_THAT(error_of(wrong), HasSubstr("inside a word"));
  wrong = options();
  wrong.transcripts = recordings_ / "nowhere";
  EXPECT_THAT(error_of(wrong), HasSubstr("no such transcripts"));
  wrong = options();
  wrong.recordings = {recordings_ / "nowhere.wav"};
  EXPECT_THAT(error_of(wrong), HasSubstr("no such recording"));
  folder_.write("data/metadata.csv", "file_name,text\na.wav,mine\n");
  EXPECT_THAT(error_of(options()), HasSubstr("did not write"));
}

}  // namespace
}  // namespace ttsft
