#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <fstream>
#include <nlohmann/json.hpp>

#include "cli/program_support.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;

class TrainCommand : public ::testing::Test {
 protected:
  void SetUp() override {
    const ProgramResult prep = run_program({"prep", run_, "--quiet"}, qwen3_fixtures());
    ASSERT_EQ(prep.code, 0) << prep.err;
  }
  std::vector<int64_t> steps() const {
    std::vector<int64_t> found;
    std::ifstream in(metrics_);
    for (std::string line; std::getline(in, line);) {
      const json row = json::parse(line);
      if (row.contains("loss")) found.push_back(row.at("step"));
    }
    return found;
  }
  // Trains until `rows` steps are written, then asks it to stop.
  ProgramResult stop_after(int64_t rows) const {
    Program program({"train", run_, "--quiet"});
    EXPECT_TRUE(program.wait_until([&] { return count_lines(metrics_) >= rows; }));
    program.signal(SIGTERM);
    return program.wait();
  }

  TemporaryFolder folder_;
  std::string run_ =
      write_run_file(folder_, "expected/prep_out.jsonl",
                     "train: {steps: 100000, batch_utterances: 2, checkpoint_every: 0}\n"
                     "lora: {rank: 4, alpha: 8, targets: [q_proj]}\n");
  fs::path metrics_ = folder_ / "run/metrics.jsonl";
};

TEST_F(TrainCommand, SigtermSavesAndTheNextRunGoesOn) {
  const ProgramResult stopped = stop_after(2);
  EXPECT_EQ(stopped.code, 128 + SIGTERM) << stopped.err;
  const size_t first = steps().size();
  ASSERT_GE(first, 2u);
  const ProgramResult found = run_program({"inspect", folder_ / "run", "--json"});
  EXPECT_EQ(json::parse(found.out).at("checkpoints").size(), 1u) << found.err;
  EXPECT_EQ(stop_after(static_cast<int64_t>(first) + 2).code, 128 + SIGTERM);
  const std::vector<int64_t> all = steps();
  ASSERT_GT(all.size(), first);
  for (size_t i = 0; i < all.size(); ++i) EXPECT_EQ(all[i], static_cast<int64_t>(i) + 1);

  const ProgramResult fresh = run_program({"train", run_, "--quiet", "--fresh"});
  EXPECT_EQ(fresh.code, 2);
  EXPECT_THAT(error_line(fresh), HasSubstr("run"));
}

TEST_F(TrainCommand, ADryRunWritesNothing) {
  const ProgramResult result = run_program({"train", run_, "--dry-run", "--quiet"});
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, AllOf(HasSubstr("model: qwen3-tts"), HasSubstr("# The plan:")));
  EXPECT_FALSE(fs::exists(folder_ / "run"));
}

}  // namespace
}  // namespace ttsft
