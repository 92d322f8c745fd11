#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cli/program_support.h"
#include "ttsft/audio/audio.h"
#include "ttsft/io/safetensors.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::HasSubstr;

TEST(SynthCommand, WritesAWavAndTheCodes) {
  const TemporaryFolder folder;
  const std::string run = write_run_file(folder, "audio/metadata.csv");
  const fs::path wav = folder / "out.wav", codes = folder / "codes.safetensors";
  const ProgramResult result =
      run_program({"synth", run, "--text", "he was not", "--out", wav, "--codes-out", codes,
                   "--greedy", "--max-frames", "3", "--json", "--quiet"});
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(json::parse(result.out).at("sample_rate"), 24000);
  EXPECT_GT(decode_audio(wav).audio.samples.size(), 0u);
  const SafetensorsReader reader = SafetensorsReader::open(codes);
  EXPECT_LE(reader.at("codes").shape.at(0), 3);

  const fs::path again = folder / "again.wav";
  const ProgramResult decoded =
      run_program({"synth", run, "--codes-in", codes, "--out", again, "--quiet"});
  ASSERT_EQ(decoded.code, 0) << decoded.err;
  EXPECT_EQ(decode_audio(again).audio.samples.size(), decode_audio(wav).audio.samples.size());
}

TEST(SynthCommand, RefusesWrongFlags) {
  const TemporaryFolder folder;
  const std::string run = write_run_file(folder, "audio/metadata.csv");
  const auto synth = [&](std::vector<std::string> flags) {
    flags.insert(flags.begin(), {"synth", run, "--quiet"});
    const ProgramResult result = run_program(flags);
    EXPECT_EQ(result.code, 2);
    return error_line(result);
  };
  EXPECT_THAT(synth({"--out", folder / "a.wav"}), HasSubstr("--text"));
  EXPECT_THAT(synth({"--text", "hello"}), HasSubstr("--out"));
  EXPECT_THAT(synth({"--text", "hello", "--out", "a.wav", "--max-frames", "many"}),
              HasSubstr("--max-frames"));
  EXPECT_THAT(synth({"--text", "hello", "--out", folder / "a.wav", "--checkpoint", "step-9"}),
              HasSubstr("step-9"));
}

TEST(SynthCommand, ADryRunWritesNothing) {
  const TemporaryFolder folder;
  const std::string run = write_run_file(folder, "audio/metadata.csv");
  const fs::path wav = folder / "out.wav";
  const ProgramResult result = run_program(
      {"synth", run, "--text", "he was not", "--out", wav, "--dry-run", "--json", "--quiet"});
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(json::parse(result.out).at("dry_run"), true);
  EXPECT_FALSE(fs::exists(wav));
  EXPECT_FALSE(fs::exists(folder / "run"));
}

}  // namespace
}  // namespace ttsft
