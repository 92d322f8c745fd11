#include <gtest/gtest.h>

#include <stdexcept>

#include "support/temporary_folder.h"
#include "ttsft/config/run_config.h"

namespace ttsft {
namespace {

using std::invalid_argument;

TEST(ValidationChoice, ShareOrFile) {
  ValidationChoice choice;
  choice.parse_scalar("0");
  EXPECT_EQ(choice.share, 0);
  EXPECT_EQ(choice.dump(), "0.0");
  choice.parse_scalar("lists/held.txt");
  choice.resolve_paths("/set");
  EXPECT_EQ(choice.list, "/set/lists/held.txt");
  EXPECT_EQ(choice.dump(), "/set/lists/held.txt");
  choice.parse_scalar("0.1");
  EXPECT_TRUE(choice.list.empty());  // a share takes the file's place
  for (const char* text : {"1", "1.5", "-0.1", ""}) {
    EXPECT_THROW(choice.parse_scalar(text), invalid_argument) << text;
  }
  EXPECT_THROW(choice.parse_list({"a"}), invalid_argument);
  EXPECT_THROW(choice.parse_map({}), invalid_argument);
}

TEST(AutoNumber, AutoOrAboveZero) {
  AutoNumber number;
  EXPECT_EQ(number.dump(), "auto");
  number.parse_scalar("120");
  EXPECT_EQ(number.value, 120);
  EXPECT_EQ(number.dump(), "120.0");
  for (const char* text : {"0", "-3", "nan", "all", ""}) {
    EXPECT_THROW(number.parse_scalar(text), invalid_argument) << text;
  }
  EXPECT_THROW(number.parse_list({"1"}), invalid_argument);
  EXPECT_THROW(number.parse_map({{"a", "1"}}), invalid_argument);
  EXPECT_EQ(number.value, 120);
  number.parse_scalar("auto");
  EXPECT_FALSE(number.value);
}

TEST(KeepChoice, AllOrCounts) {
  KeepChoice choice;
  choice.parse_map({{"last", "3"}});
  EXPECT_FALSE(choice.all);
  EXPECT_EQ(choice.dump(), "{last: 3, best: 1}");
  choice.parse_map({{"last", "0"}, {"best", "2"}});
  EXPECT_EQ(choice.last, 0);
  EXPECT_EQ(choice.best, 2);
  EXPECT_THROW(choice.parse_map({}), invalid_argument);
  EXPECT_THROW(choice.parse_map({{"last", "-1"}}), invalid_argument);
  EXPECT_THROW(choice.parse_map({{"last", "x"}}), invalid_argument);
  EXPECT_THROW(choice.parse_map({{"first", "1"}}), invalid_argument);
  EXPECT_THROW(choice.parse_scalar("some"), invalid_argument);
  EXPECT_THROW(choice.parse_list({"all"}), invalid_argument);
  EXPECT_EQ(choice.best, 2);  // a refused value changes nothing
  choice.parse_scalar("all");
  EXPECT_EQ(choice.dump(), "all");
}

TEST(TargetChoice, NamesOrRegex) {
  TargetChoice choice;
  choice.parse_list({"q_proj", "k_proj"});
  EXPECT_EQ(choice.dump(), "[q_proj, k_proj]");
  choice.parse_scalar(R"(.*\.(q|k)_proj)");
  EXPECT_TRUE(choice.endings.empty());
  EXPECT_EQ(choice.regex, R"(.*\.(q|k)_proj)");
  choice.parse_scalar("attention");  // a role alone
  EXPECT_TRUE(choice.regex.empty());
  EXPECT_EQ(choice.endings, std::vector<std::string>{"attention"});
  EXPECT_THROW(choice.parse_scalar(""), invalid_argument);
  EXPECT_THROW(choice.parse_map({{"a", "b"}}), invalid_argument);
}

TEST(SplitStage, AWordBeforeTheEqualsSign) {
  using Parts = std::pair<std::string, std::string>;
  EXPECT_EQ(split_stage("best"), Parts("", "best"));
  EXPECT_EQ(split_stage("lm=best"), Parts("lm", "best"));
  EXPECT_EQ(split_stage("lm=runs/a=b"), Parts("lm", "runs/a=b"));
  EXPECT_EQ(split_stage("runs/a=b"), Parts("", "runs/a=b"));  // a path
  EXPECT_EQ(split_stage("=best"), Parts("", "=best"));
  const TemporaryFolder folder;
  folder.write("lm=1/file", "");
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(folder.path());
  const Parts there = split_stage("lm=1");
  std::filesystem::current_path(before);
  EXPECT_EQ(there, Parts("", "lm=1"));
}

TEST(CheckpointChoice, WordsStayAndFoldersAreResolved) {
  CheckpointChoice choice;
  choice.parse_list({"base", "step-100", "step-x", "../other", "/abs"});
  choice.resolve_paths("/run");
  EXPECT_EQ(choice.dump(), "[base, step-100, /run/step-x, /other, /abs]");
  choice.parse_scalar("best");
  choice.resolve_paths("/run");
  EXPECT_EQ(choice.dump(), "best");
  choice.parse_list({"flow=best", "flow=mine"});
  choice.resolve_paths("/run");
  EXPECT_EQ(choice.names, (std::vector<std::string>{"flow=best", "flow=/run/mine"}));
  EXPECT_THROW(choice.parse_list({}), invalid_argument);
  EXPECT_THROW(choice.parse_scalar(""), invalid_argument);
  EXPECT_THROW(choice.parse_map({}), invalid_argument);
}

TEST(SourceChoice, IsOnePathOrAList) {
  SourceChoice choice;
  choice.parse_scalar("set");
  EXPECT_EQ(choice.dump(), "set");
  choice.parse_list({"one", "two"});
  choice.resolve_paths("/runs");
  EXPECT_EQ(choice.paths, (std::vector<std::filesystem::path>{"/runs/one", "/runs/two"}));
  EXPECT_EQ(choice.dump(), "[/runs/one, /runs/two]");
  EXPECT_EQ(choice.text(), "/runs/one, /runs/two");
  EXPECT_THROW(choice.parse_list({"one", ""}), invalid_argument);
  EXPECT_THROW(choice.parse_map({{"a", "b"}}), invalid_argument);
  EXPECT_TRUE(choice.parse_null());
  EXPECT_TRUE(choice.empty());
  EXPECT_EQ(choice.dump(), "null");
}

TEST(ReferenceChoice, IsARecordingOrOneForEachSpeaker) {
  ReferenceChoice choice;
  EXPECT_EQ(choice.dump(), "null");
  choice.parse_scalar("a.wav");
  choice.resolve_paths("/runs");
  EXPECT_EQ(choice.dump(), "/runs/a.wav");
  choice.parse_map({{"anna", "a.wav"}, {"boris", "/b.wav"}});
  choice.resolve_paths("/runs");
  EXPECT_TRUE(choice.file.empty());
  EXPECT_EQ(choice.dump(), "{anna: /runs/a.wav, boris: /b.wav}");
  EXPECT_THROW(choice.parse_map({{"anna", ""}}), invalid_argument);
  EXPECT_THROW(choice.parse_list({"a.wav"}), invalid_argument);
  EXPECT_TRUE(choice.parse_null());
  EXPECT_TRUE(choice.empty());
}

}  // namespace
}  // namespace ttsft
