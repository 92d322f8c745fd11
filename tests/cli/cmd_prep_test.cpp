#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <nlohmann/json.hpp>
#include <random>

#include "cli/program_support.h"
#include "ttsft/audio/audio.h"
#include "ttsft/io/atomic_file.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(PrepCommand, GivesUpstreamsRowsWithUpstreamsCodes) {
  const TemporaryFolder folder;
  const std::string run = write_run_file(folder, "expected/prep_in.jsonl");
  const ProgramResult result = run_program({"prep", run, "--json"}, qwen3_fixtures());
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(json::parse(result.out).at("encoded"), 3);
  EXPECT_THAT(result.err, HasSubstr("few_clips"));
  const std::string rows = read_text(folder / "prepared/train.jsonl");
  const std::string expected = read_text(qwen3_fixtures() / "expected/prep_out.jsonl");
  const auto first = [](const std::string& text) { return text.substr(0, text.find('\n')); };
  const json got = json::parse(first(rows)), want = json::parse(first(expected));
  EXPECT_EQ(got.at("text"), want.at("text"));
  EXPECT_EQ(got.at("audio"), want.at("audio"));
  const json& codes = want.at("audio_codes");
  // Upstream's last frame depends on its neighbours in the batch.
  for (size_t frame = 0; frame + 1 < codes.size(); ++frame) {
    EXPECT_EQ(got.at("audio_codes").at(frame), codes.at(frame)) << "frame " << frame;
  }

  const ProgramResult words = run_program({"prep", run, "--quiet"}, qwen3_fixtures());
  EXPECT_THAT(words.out, HasSubstr("0 encoded, 3 reused"));
}

TEST(PrepCommand, ADryRunWritesNothingAndPrintsARunFile) {
  const TemporaryFolder folder;
  const std::string run = write_run_file(folder, "expected/prep_in.jsonl");
  const ProgramResult result = run_program({"prep", run, "--dry-run", "--quiet"}, qwen3_fixtures());
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, AllOf(HasSubstr("model: qwen3-tts"), HasSubstr("# clips       3: 3 to")));
  EXPECT_FALSE(fs::exists(folder / "prepared"));
  const std::string copy = folder.write("copy/run.yaml", result.out);
  const ProgramResult again =
      run_program({"prep", copy, "--dry-run", "--json", "--quiet"}, qwen3_fixtures());
  ASSERT_EQ(again.code, 0) << again.err;
  EXPECT_EQ(json::parse(again.out).at("plan").at("to_encode"), 3);
}

TEST(PrepCommand, BadDataIsExitThree) {
  const TemporaryFolder folder;
  folder.write("clips/a.wav", "not audio");
  folder.write("clips/a.txt", "text");
  const std::string run = write_run_file(folder, "audio/metadata.csv");
  const auto prep = [&](const fs::path& source) {
    return run_program({"prep", run, "--quiet", "--set", "data.source=" + source.string()});
  };
  EXPECT_EQ(prep(folder / "nowhere").code, 3);
  const ProgramResult result = prep(folder / "clips");
  EXPECT_EQ(result.code, 3);
  EXPECT_THAT(result.err, AllOf(HasSubstr("audio_unreadable"), HasSubstr("rejected.jsonl")));
}

TEST(PrepCommand, SigtermSavesAndTheNextRunContinues) {
  const TemporaryFolder folder;
  std::mt19937 random(1);
  std::uniform_real_distribution<float> value(-0.3f, 0.3f);
  std::vector<float> samples(5 * 24000);
  for (float& sample : samples) sample = value(random);
  constexpr int kClips = 20;  // about six share a batch
  for (int i = 0; i < kClips; ++i) {
    const std::string id = std::to_string(i);
    write_wav(folder.write("clips/" + id + ".wav", ""), samples, 24000);
    folder.write("clips/" + id + ".txt", "he was not an");
  }
  const std::string run = write_run_file(folder, "audio/metadata.csv");
  const std::vector<std::string> arguments = {"prep", run, "--json", "--set",
                                              "data.source=" + (folder / "clips").string()};
  const fs::path journal = folder / "prepared/rows.partial.jsonl";
  Program program(arguments);
  ASSERT_TRUE(program.wait_until([&] { return count_lines(journal) > 0; })) << program.wait().err;
  program.signal(SIGTERM);
  const ProgramResult stopped = program.wait();
  EXPECT_EQ(stopped.code, 128 + SIGTERM);
  EXPECT_THAT(stopped.err, HasSubstr("run prep again to continue"));
  const int64_t saved = count_lines(journal);
  ASSERT_GT(saved, 0);
  ASSERT_LT(saved, kClips);
  const ProgramResult finished = run_program(arguments);
  ASSERT_EQ(finished.code, 0) << finished.err;
  EXPECT_EQ(json::parse(finished.out).at("reused"), saved);
  EXPECT_EQ(count_lines(folder / "prepared/train.jsonl"), kClips);
}

}  // namespace
}  // namespace ttsft
