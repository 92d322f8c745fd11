#include "ttsft/data/prepared_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "support/temporary_folder.h"
#include "ttsft/core/error.h"
#include "ttsft/core/threads.h"
#include "ttsft/io/atomic_file.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

PreparedRow row(const std::string& id, const std::string& key = "k") {
  return {id, key, 1.5, {{"audio", id + ".wav"}, {"text", "\xC3\xA9 " + id}, {"codes", {1, 2}}}};
}

std::vector<std::string> ids(const PreparedRows& rows) {
  std::vector<std::string> found;
  for (const PreparedRow& r : rows) found.push_back(r.id);
  return found;
}

class Prepared : public ::testing::Test {
 protected:
  // A finished set of a, b (validation), c.
  void prepare() const {
    PreparedWriter writer(set_, "m");
    for (const char* id : {"c", "a", "b"}) writer.add(row(id));
    writer.finish({"a", "b", "c"}, {"b"}, {{"x", "m.csv line 4", "no text", "text_empty"}},
                  {{"source", "m.csv"}, {"rates", {24000, 12.5}}});
  }
  std::string open_error() const {
    return message_of<DataError>([&] { PreparedSet::open(set_, "m"); });
  }
  std::string text(const std::string& name) const { return read_text(set_ / name); }
  void write(const std::string& name, const std::string& content) const {
    folder_.write("set/" + name, content);
  }
  bool exists(const std::string& name) const { return fs::exists(set_ / name); }

  TemporaryFolder folder_;
  fs::path set_ = folder_ / "set";
};

TEST_F(Prepared, HoldsWhatWasWritten) {
  prepare();
  const PreparedSet set = PreparedSet::open(set_, "m");
  EXPECT_THAT(ids(set.train), ElementsAre("a", "c"));
  EXPECT_THAT(ids(set.validation), ElementsAre("b"));
  EXPECT_THAT(ids(set.all()), ElementsAre("a", "b", "c"));
  EXPECT_EQ(set.train[1].row, row("c").row);
  EXPECT_EQ(set.train[1].key, "k");
  EXPECT_EQ(set.train[1].seconds, 1.5);
  EXPECT_EQ(set.index["format"], "ttsft-prepared");
  EXPECT_EQ(set.index["model"], "m");
  EXPECT_EQ(set.index["source"], "m.csv");
  EXPECT_EQ(set.index["rates"][1], 12.5);
  EXPECT_FALSE(exists("rows.partial.jsonl"));
}

TEST_F(Prepared, FilesHoldRowsAsUpstreamReadsThem) {
  prepare();
  EXPECT_EQ(text("train.jsonl"),
            "{\"audio\":\"a.wav\",\"text\":\"\xC3\xA9 a\",\"codes\":[1,2]}\n"
            "{\"audio\":\"c.wav\",\"text\":\"\xC3\xA9 c\",\"codes\":[1,2]}\n");
  EXPECT_EQ(text("rejected.jsonl"),
            "{\"id\":\"x\",\"where\":\"m.csv line 4\",\"reason\":\"no text\","
            "\"guard\":\"text_empty\"}\n");
  const ordered_json index = ordered_json::parse(text("index.json"));
  EXPECT_EQ(index["utterances"][1],
            (ordered_json{{"id", "b"}, {"key", "k"}, {"seconds", 1.5}, {"split", "validation"}}));
}

TEST_F(Prepared, OpenRefusesWhatIsNotAFinishedSetOfThisModel) {
  EXPECT_THAT(open_error(), AllOf(HasSubstr("no prepared set"), HasSubstr("run prep first")));
  prepare();
  EXPECT_THAT(message_of<DataError>([&] { PreparedSet::open(set_, "other"); }),
              AllOf(HasSubstr("for m, not for other"), HasSubstr("data.prepared")));
}

TEST_F(Prepared, OpenRefusesEditedOrHalfWrittenSets) {
  prepare();
  const std::string train = text("train.jsonl"), index = text("index.json");
  const auto changed = [](std::string in, const std::string& from, const std::string& to) {
    return in.replace(in.find(from), from.size(), to);
  };
  const std::vector<std::pair<std::string, std::string>> edits = {
      {"train.jsonl", changed(train, "c.wav", "d.wav")},
      {"train.jsonl", train.substr(0, train.find('\n') + 1)},
      {"train.jsonl", train.substr(0, train.size() - 1)},
      {"train.jsonl", ""},
      {"validation.jsonl", train},
      {"index.json", changed(index, "\"split\":\"validation\"", "\"split\":\"train\"")},
      {"index.json", changed(index, "\"split\":\"validation\"", "\"split\":\"test\"")},
      {"index.json", changed(index, "\"id\":\"c\"", "\"id\":\"a\"")},
      {"index.json", changed(index, "\"id\":\"c\",", "")},
      {"index.json", changed(index, "\"rows\": 2", "\"rows\": 3")},
      {"index.json", changed(index, "\"files\"", "\"else\"")},
      {"index.json", changed(index, "\"utterances\"", "\"else\"")}};
  for (const auto& [name, content] : edits) {
    const std::string before = text(name);
    write(name, content);
    EXPECT_THAT(open_error(), HasSubstr("run prep again")) << name << ": " << content;
    write(name, before);
  }
  EXPECT_EQ(PreparedSet::open(set_, "m").train.size(), 2u);  // the edits were the reason
  fs::remove(set_ / "validation.jsonl");
  EXPECT_THAT(open_error(), AllOf(HasSubstr("validation.jsonl"), HasSubstr("run prep again")));
}

TEST_F(Prepared, OpenRefusesForeignIndexesAndOtherVersions) {
  for (const std::string content : {"", "[]", "{}", "{\"format\": 1}", "{\"model\": \"m\"}"}) {
    write("index.json", content);
    EXPECT_THAT(open_error(), HasSubstr("not the index of a prepared set")) << content;
    EXPECT_THROW(PreparedWriter(set_, "m"), DataError) << content;
  }
  write("index.json", R"({"format": "ttsft-prepared", "version": 99, "model": "m"})");
  EXPECT_THAT(open_error(), HasSubstr("another version"));
  prepare();  // the other version is replaced, not refused
  EXPECT_EQ(PreparedSet::open(set_, "m").train.size(), 2u);
}

TEST_F(Prepared, ASetOfAnotherModelIsNotOverwritten) {
  prepare();
  EXPECT_THAT(message_of<DataError>([&] { PreparedWriter writer(set_, "other"); }),
              HasSubstr("for m, not for other"));
}

TEST_F(Prepared, ASecondRunReusesWhatDidNotChange) {
  prepare();
  {
    PreparedWriter writer(set_, "m");
    ASSERT_TRUE(writer.reusable("a", "k"));
    EXPECT_EQ(writer.reusable("a", "k")->row, row("a").row);
    EXPECT_FALSE(writer.reusable("b", "changed"));
    EXPECT_FALSE(writer.reusable("new", "k"));
    writer.add(row("b", "changed"));
    writer.add(row("new"));
    writer.finish({"new", "b", "a"}, {}, {}, {});
  }
  const PreparedSet set = PreparedSet::open(set_, "m");
  EXPECT_THAT(ids(set.all()), ElementsAre("new", "b", "a"));  // c is gone from the source
  EXPECT_EQ(set.train[1].key, "changed");
}

TEST_F(Prepared, RejectedRowsNeverComeBackFromAnEarlierRun) {
  prepare();
  PreparedWriter writer(set_, "m");
  EXPECT_TRUE(writer.reusable("a", "k"));
  EXPECT_FALSE(writer.reusable("b", "other key"));
  EXPECT_TRUE(writer.reusable("c", "k"));
  // b was not prepared again: finishing with its old row would be wrong.
  EXPECT_THROW(writer.finish({"a", "b", "c"}, {}, {}, {}), RunError);
  writer.finish({"a", "b", "c"}, {}, {{"b", "", "too short", "length"}, {"c", "", "x", "y"}}, {});
  EXPECT_THAT(ids(PreparedSet::open(set_, "m").all()), ElementsAre("a"));
}

TEST_F(Prepared, ResumesAfterAKillWithATornLine) {
  write("rows.partial.jsonl", R"({"id":"a","key":"old","seconds":1.5,"row":{"text":"a"}})"
                              "\n"
                              R"({"id":"a","key":"k","seconds":1.5,"row":{"text":"newer"}})"
                              "\nnot json\n"
                              R"({"id":"b","key":"k","seconds":2,"row":{"text":"b"}})"
                              "\n"
                              R"({"id":"c","key":"k","seconds":2,"row":{"te)");
  EXPECT_THAT(open_error(), AllOf(HasSubstr("not finished"), HasSubstr("run prep again")));
  {
    PreparedWriter writer(set_, "m");
    EXPECT_FALSE(writer.reusable("a", "old"));
    ASSERT_TRUE(writer.reusable("a", "k"));
    EXPECT_EQ(writer.reusable("a", "k")->row["text"], "newer");
    EXPECT_FALSE(writer.reusable("c", "k"));
    writer.add(row("c"));
  }  // killed again: c must not have been glued to the torn line
  PreparedWriter writer(set_, "m");
  for (const char* id : {"a", "b", "c"}) EXPECT_TRUE(writer.reusable(id, "k")) << id;
  writer.finish({"a", "b", "c"}, {}, {}, {});
  EXPECT_THAT(ids(PreparedSet::open(set_, "m").train), ElementsAre("a", "b", "c"));
}

TEST_F(Prepared, AKillWhileFinishingIsSeenAndLosesNothing) {
  prepare();
  const std::string old_index = text("index.json");
  {
    PreparedWriter writer(set_, "m");
    for (const char* id : {"a", "c"}) ASSERT_TRUE(writer.reusable(id, "k"));
    writer.add(row("d"));
    // As if killed after the row files and before the index: a folder in the way stops it there.
    fs::remove(set_ / "index.json");
    write("index.json/in the way", "");
    EXPECT_THROW(writer.finish({"a", "c", "d"}, {}, {}, {}), RunError);
  }
  fs::remove_all(set_ / "index.json");
  write("index.json", old_index);
  EXPECT_THAT(open_error(), HasSubstr("run prep again"));
  PreparedWriter writer(set_, "m");
  for (const char* id : {"a", "c", "d"}) EXPECT_TRUE(writer.reusable(id, "k")) << id;
}

TEST_F(Prepared, AnInterruptedRenewalLeavesTheOldSetReadable) {
  prepare();
  {
    PreparedWriter writer(set_, "m");
    writer.add(row("a", "changed"));
  }
  EXPECT_TRUE(exists("rows.partial.jsonl"));
  EXPECT_EQ(PreparedSet::open(set_, "m").train[0].key, "k");
}

TEST_F(Prepared, NothingLeftIsAnErrorThatPointsToTheReasons) {
  PreparedWriter writer(set_, "m");
  EXPECT_THAT(message_of<DataError>([&] {
                writer.finish({"a"}, {}, {{"a", "l 1", "no text", "text_empty"}}, {});
              }),
              AllOf(HasSubstr("no utterance is left"), HasSubstr("rejected.jsonl")));
  EXPECT_THAT(text("rejected.jsonl"), HasSubstr("no text"));
  EXPECT_FALSE(exists("index.json"));
}

TEST_F(Prepared, TheCallersIndexCannotOverwriteTheWritersKeys) {
  PreparedWriter writer(set_, "m");
  writer.add(row("a"));
  writer.finish({"a"}, {}, {},
                {{"model", "other"}, {"utterances", {1}}, {"files", 1}, {"note", "\n}"}});
  EXPECT_EQ(PreparedSet::open(set_, "m").index["note"], "\n}");
}

TEST_F(Prepared, RowsMayComeFromSeveralThreads) {
  PreparedWriter writer(set_, "m");
  std::vector<std::string> order;
  for (int i = 0; i < 64; ++i) order.push_back(std::to_string(i));
  parallel_for(64, 4, [&](int64_t i) {
    const std::string& id = order[static_cast<size_t>(i)];
    if (!writer.reusable(id, "k")) writer.add(row(id));
  });
  writer.finish(order, {}, {}, {});
  EXPECT_EQ(ids(PreparedSet::open(set_, "m").train), order);
}

// A set with files beside its rows, as the prep engine finishes it.
class PreparedWithFiles : public Prepared {
 protected:
  void prepare_with_files() const {
    PreparedWriter writer(set_, "m");
    writer.add(row("a"));
    write("speakers.json", "voices");
    write("clips/a.npy", "codes of a");
    write("clips/b.npy", "codes of b");
    ordered_json index;
    index["set_files"] = describe_set_files(set_, {"speakers.json", "clips", "absent"});
    writer.finish({"a"}, {}, {}, std::move(index));
  }
  void set_time(const std::string& name, int hours) const {
    fs::last_write_time(set_ / name, fs::file_time_type::clock::now() - std::chrono::hours(hours));
  }
};

TEST_F(PreparedWithFiles, ChangesBesideTheRowsAreSeen) {
  prepare_with_files();
  EXPECT_EQ(PreparedSet::open(set_, "m").train.size(), 1u);
  const std::vector<std::pair<std::string, std::string>> edits = {
      {"speakers.json", "voicez"}, {"clips/b.npy", "codes of c"}, {"clips/b.npy", "short"}};
  for (const auto& [name, content] : edits) {
    const std::string before = text(name);
    write(name, content);
    set_time(name, 1);
    EXPECT_THAT(open_error(),
                AllOf(HasSubstr(name.substr(0, name.find('/'))), HasSubstr("run prep again")))
        << name << ": " << content;
    EXPECT_EQ(PreparedSet::look(set_, "m").train.size(), 1u) << "a report still reads the rows";
    write(name, before);
  }
  EXPECT_EQ(PreparedSet::open(set_, "m").train.size(), 1u) << "the edits were the reason";
  write("clips/new.npy", "");
  EXPECT_THAT(open_error(), HasSubstr("clips"));
  fs::remove(set_ / "clips/new.npy");
  write("clips/.hidden", "");
  write("notes.txt", "of the user");
  EXPECT_EQ(PreparedSet::open(set_, "m").train.size(), 1u) << "not of the set";
  fs::remove_all(set_ / "clips");
  EXPECT_THAT(open_error(), HasSubstr("clips"));
}

TEST_F(PreparedWithFiles, ACopyHasOtherTimesAndTheSameContents) {
  prepare_with_files();
  set_time("clips/a.npy", 48);
  EXPECT_EQ(PreparedSet::open(set_, "m").train.size(), 1u);
}

TEST_F(PreparedWithFiles, VoicesOfAStoppedPrepAreNotTakenForThoseOfTheSet) {
  prepare_with_files();
  {
    PreparedWriter writer(set_, "m");
    writer.add(row("a", "changed"));
    write("speakers.json", "new voices");
  }  // stopped between the voices and the rows
  EXPECT_THAT(open_error(), AllOf(HasSubstr("speakers.json"), HasSubstr("has not finished")));
  PreparedWriter writer(set_, "m");
  EXPECT_TRUE(writer.reusable("a", "changed")) << "nothing is lost";
}

TEST_F(PreparedWithFiles, AnIndexWithoutThemStillOpens) {
  prepare();
  write("speakers.json", "anything");
  EXPECT_FALSE(PreparedSet::open(set_, "m").index.contains("set_files"));
}

TEST_F(Prepared, AWriterSweepsWhatKilledOnesLeft) {
  prepare();
  const std::string old = ".x.partial-m0123456789ab-7-0";
  write(old, "half");
  write("clips/" + old, "half");
  for (const std::string& name : {old, "clips/" + old}) {
    fs::last_write_time(set_ / name, fs::file_time_type::clock::now() - std::chrono::hours(25));
  }
  const PreparedWriter writer(set_, "m");
  EXPECT_FALSE(exists(old));
  EXPECT_FALSE(exists("clips/" + old));
}

TEST_F(Prepared, ASetThatIsReadHasNoWriter) {
  prepare();
  const FolderLock reading(set_, FolderLock::Mode::kShared);
  EXPECT_THAT(message_of<RunError>([&] { PreparedWriter writer(set_, "m"); }),
              AllOf(HasSubstr("in use by another ttsft"), HasSubstr(set_.string())));
}

TEST_F(Prepared, HasOneWriter) {
  const PreparedWriter writer(set_, "m");
  EXPECT_THAT(message_of<RunError>([&] { PreparedWriter second(set_, "m"); }), HasSubstr("in use"));
}

TEST_F(Prepared, TextThatIsNotUtf8IsRefused) {
  PreparedWriter writer(set_, "m");
  EXPECT_THAT(message_of<DataError>([&] {
                writer.add({"a", "k", 1, {{"text", "\xFF"}}});
              }),
              HasSubstr("UTF-8"));
}

}  // namespace
}  // namespace ttsft
