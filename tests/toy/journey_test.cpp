// A new tenant is one folder and one line: the toy of this folder, listed in its own models.def and
// named nowhere else, goes through the command line from rows to a release. (The contract suite
// runs on it too, in the same binary.)
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/support/temporary_folder.h"
#include "ttsft/audio/audio.h"
#include "ttsft/cli/cli.h"
#include "ttsft/io/atomic_file.h"
#include "ttsft/model/fixture.h"

namespace ttsft {
namespace {

using ::testing::HasSubstr;

class Journey : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = std::make_unique<TemporaryFolder>();
    write_fixture(fixture_files("toy", FixtureSize::kTiny), folder() / "checkpoint", 1);
    std::string rows;
    for (int64_t clip = 0; clip < 6; ++clip) {
      nlohmann::ordered_json row = {{"id", "clip" + std::to_string(clip)}, {"text", "hello"}};
      row["text"] = std::string("hello number ") + std::to_string(clip);
      for (int64_t f = 0; f < 12 + clip; ++f)
        row["codes"].push_back(
            {(f + clip) % 24, (2 * f) % 24, (f + 3 * clip) % 24, f % 24, clip, 7});
      rows += row.dump() + "\n";
    }
    folder_->write("rows.jsonl", rows);
    rows_ = rows;
    const auto run_file = [](const std::string& run) {
      return "model: toy\ncheckpoint: checkpoint\nrun: " + run +
             "\ndevice: cpu\n"
             "data: {source: rows.jsonl, prepared: prepared, validation: 0.2}\n"
             "train: {steps: 40, batch_utterances: 3, validate_every: 20, "
             "checkpoint_every: 20, optimizer: {learning_rate: 3.0e-3}}\n"
             "synth: {max_frames: 30}\n";
    };
    folder_->write("run.yaml", run_file("run"));
    folder_->write("flow.yaml", run_file("flow-run"));  // the second stage has a run of its own
  }
  static void TearDownTestSuite() { folder_.reset(); }
  static TemporaryFolder& folder() { return *folder_; }

  // Exit code; what was printed stays in `out`.
  int ttsft(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "ttsft");
    std::vector<const char*> argv;
    for (const std::string& argument : arguments) argv.push_back(argument.c_str());
    testing::internal::CaptureStdout();
    const int code = run_cli(static_cast<int>(argv.size()), argv.data());
    out = testing::internal::GetCapturedStdout();
    return code;
  }
  static const std::string& rows() { return rows_; }
  std::string at(const std::string& name) { return (folder() / name).string(); }

  std::string out;

 private:
  static std::unique_ptr<TemporaryFolder> folder_;
  static std::string rows_;
};
std::string Journey::rows_;
std::unique_ptr<TemporaryFolder> Journey::folder_;

TEST_F(Journey, FromRowsToARelease) {
  ASSERT_EQ(ttsft({"models"}), 0);
  EXPECT_THAT(out, HasSubstr("toy"));
  ASSERT_EQ(ttsft({"prep", at("run.yaml")}), 0);
  ASSERT_EQ(ttsft({"train", at("run.yaml"), "--set", "train.method=full"}), 0);
  ASSERT_EQ(ttsft({"train", at("flow.yaml"), "--set", "train.stage=flow"}), 0);
  ASSERT_EQ(ttsft({"eval", at("run.yaml"), "--json"}), 0);
  EXPECT_THAT(out, HasSubstr("\"levels\""));
  ASSERT_EQ(ttsft({"eval", at("flow.yaml"), "--set", "train.stage=flow", "--json"}), 0);
  EXPECT_THAT(out, HasSubstr("\"flow\""));

  const std::string flow = at("flow-run/checkpoints/step-00000040");
  const auto speak = [&](const std::string& checkpoint, const std::string& wav) {
    return ttsft({"synth", checkpoint, "--text", "hello number 3", "--out", at(wav), "--checkpoint",
                  "lm=best", "--checkpoint", "flow=" + flow, "--greedy"});
  };
  ASSERT_EQ(speak(at("run.yaml"), "one.wav"), 0);
  const Audio one = decode_audio(at("one.wav")).audio;
  EXPECT_EQ(one.sample_rate, 1000);
  EXPECT_GT(one.samples.size(), 0u);

  ASSERT_EQ(ttsft({"export", at("run.yaml"), "--out", at("release"), "--checkpoint", "lm=best",
                   "--checkpoint", "flow=" + flow}),
            0);
  folder().write("release.yaml",
                 "model: toy\ncheckpoint: release\nrun: none\ndevice: cpu\n"
                 "synth: {max_frames: 30}\n");
  ASSERT_EQ(ttsft({"synth", at("release.yaml"), "--text", "hello number 3", "--out", at("two.wav"),
                   "--greedy"}),
            0);
  EXPECT_EQ(decode_audio(at("two.wav")).audio.samples, one.samples)
      << "the release speaks as what was trained does";
}

TEST_F(Journey, ARecordingIsRefusedByItsRow) {
  folder().write("mixed.jsonl", rows() + R"({"id": "spoken", "audio": ")" +
                                    std::string(TTSFT_FIXTURES) +
                                    R"(/austen/wavs/austen-0880.wav", "text": "he was not"})"
                                    "\n");
  ASSERT_EQ(ttsft({"prep", at("run.yaml"), "--set", "data.source=" + at("mixed.jsonl"), "--set",
                   "data.prepared=" + at("mixed"), "--json"}),
            0);
  EXPECT_THAT(out, HasSubstr("\"rejected\": 1"));
  EXPECT_THAT(read_text(folder() / "mixed/rejected.jsonl"), HasSubstr("the toy has no encoder"));
}

}  // namespace
}  // namespace ttsft
