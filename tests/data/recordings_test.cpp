#include "ttsft/data/recordings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/temporary_folder.h"
#include "ttsft/audio/audio.h"
#include "ttsft/io/parquet.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr int kRate = 8000;

std::vector<float> ramp(double seconds) {
  std::vector<float> samples(static_cast<size_t>(kRate * seconds));
  for (size_t i = 0; i < samples.size(); ++i)
    samples[i] = static_cast<float>(i % 1000) / 1024;  // exact in 16 bits
  return samples;
}

Utterance part_of(const std::string& id, RecordingPart part) {
  Utterance row;
  row.id = id;
  row.where = "row " + id;
  row.part = std::move(part);
  return row;
}

TEST(Recordings, PiecesOfALongOneKeepTheirSamples) {
  const TemporaryFolder folder;
  const std::vector<float> tape = ramp(2);
  write_wav(folder / "tape.wav", tape, kRate);
  std::vector<Utterance> rows = {part_of("a/1", {folder / "tape.wav", 0.5, 1.25}),
                                 part_of("rest", {folder / "tape.wav", 1.5, 0}),
                                 part_of("late", {folder / "tape.wav", 1, 2.5}),
                                 part_of("gone", {folder / "none.wav", 0, 1})};
  Utterance whole;
  whole.id = "whole";
  whole.audio_path = folder / "tape.wav";
  rows.push_back(whole);
  std::vector<RejectedRow> rejected;
  make_recordings(rows, rejected, folder / "cut");
  ASSERT_THAT(rows, SizeIs(3));
  const Audio first = decode_audio(rows[0].audio_path).audio;
  EXPECT_EQ(first.sample_rate, kRate);
  EXPECT_EQ(first.samples, std::vector<float>(tape.begin() + 4000, tape.begin() + 10000));
  EXPECT_EQ(rows[0].row["audio"], rows[0].audio);
  EXPECT_EQ(decode_audio(rows[1].audio_path).audio.seconds(), 0.5);
  EXPECT_EQ(rows[2].audio_path, folder / "tape.wav");
  ASSERT_THAT(rejected, SizeIs(2));
  EXPECT_THAT(rejected[0].reason, HasSubstr("it ends at 2.5"));
  EXPECT_EQ(rejected[1].guard, "audio_unreadable");

  // What no row wants any more goes.
  const fs::path old = rows[1].audio_path;
  std::vector<Utterance> fewer = {part_of("a/1", {folder / "tape.wav", 0.5, 1.25})};
  make_recordings(fewer, rejected, folder / "cut");
  EXPECT_FALSE(fs::exists(old));
  EXPECT_TRUE(fs::exists(fewer[0].audio_path));
}

TEST(Recordings, BytesOfAParquetFileComeOutAsTheyAre) {
  if (!parquet_available()) GTEST_SKIP() << "built without Arrow";
  const TemporaryFolder folder;
  const fs::path file = fs::path(TTSFT_FIXTURES) / "parquet/audio.parquet";
  std::vector<Utterance> rows = {part_of("two", {file, 0, 0, 1}),
                                 part_of("three", {file, 0, 0, 2})};
  std::vector<RejectedRow> rejected;
  make_recordings(rows, rejected, folder / "cut");
  ASSERT_THAT(rows, SizeIs(1));
  EXPECT_EQ(rows[0].audio_path.filename(), "two.wav");
  EXPECT_EQ(decode_audio(rows[0].audio_path).audio.samples.size(), 2400u);
  ASSERT_THAT(rejected, SizeIs(1));
  EXPECT_EQ(rejected[0].guard, "audio_missing");
}

}  // namespace
}  // namespace ttsft
