// More layouts than importers_test has, and several sources as one set.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/temporary_folder.h"
#include "ttsft/core/error.h"
#include "ttsft/data/importers.h"
#include "ttsft/io/parquet.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Importers look at names only, so an empty file is a recording.
class Sources : public ::testing::Test {
 protected:
  ImportedSet import(const std::vector<std::string>& names, const ImportDefaults& defaults = {}) {
    std::vector<fs::path> paths;
    for (const std::string& name : names) paths.push_back(folder_ / name);
    return import_sources(paths, defaults);
  }
  static std::vector<std::string> rows(const ImportedSet& set) {
    std::vector<std::string> found;
    for (const Utterance& row : set.utterances)
      found.push_back(row.id + " " + row.speaker + ": " + row.text);
    return found;
  }
  static std::vector<std::string> rejections(const ImportedSet& set) {
    std::vector<std::string> found;
    for (const RejectedRow& row : set.rejected) found.push_back(row.where + ": " + row.reason);
    return found;
  }

  TemporaryFolder folder_;
};

TEST_F(Sources, ListsOfGptSoVits) {
  folder_.write("set/a.wav", "");
  folder_.write("set/b.wav", "");
  folder_.write("set/x.list",
                "a.wav|anna|EN|Hello there.\nD:\\out\\slicer\\b.wav|boris|all_zh|Two.\n"
                "c.wav|anna|EN|Gone.\nbroken row\n");
  EXPECT_THAT(message_of<DataError>([&] { import({"set/x.list"}); }),
              AllOf(HasSubstr("path|speaker|language|text"), HasSubstr("data.columns")));
  std::string lines = "a.wav|anna|EN|Hello there.\nD:\\out\\slicer\\b.wav|boris|all_zh|Two.\n";
  for (int i = 0; i < 8; ++i) {
    folder_.write("set/n" + std::to_string(i) + ".wav", "");
    lines += "n" + std::to_string(i) + ".wav|anna|EN|More.\n";
  }
  folder_.write("set/x.list", lines + "a|b|c|d|e\n");
  const ImportedSet set = import({"set/x.list"});
  EXPECT_EQ(set.format, ".list");
  ASSERT_EQ(set.utterances.size(), 10u);
  EXPECT_EQ(set.utterances[0].speaker, "anna");
  EXPECT_EQ(set.utterances[0].text, "Hello there.");
  EXPECT_EQ(set.utterances[0].row["language"], "EN");
  // The path of another machine: the recording lies beside the list.
  EXPECT_EQ(set.utterances[1].id, "b");
  EXPECT_EQ(set.utterances[1].audio_path, folder_ / "set/b.wav");
  EXPECT_THAT(rejections(set), ElementsAre(HasSubstr("5 columns, not 4")));
}

TEST_F(Sources, ANameIsOnlyTrustedWhereOneRowHasIt) {
  folder_.write("set/b.wav", "");
  folder_.write("set/metadata.csv", "/gone/one/b.wav|One.\n/gone/two/b.wav|Two.\n");
  EXPECT_THAT(message_of<DataError>([&] { import({"set"}); }), HasSubstr("none of 2 rows"));
}

TEST_F(Sources, AudioFoldersOfHuggingFace) {
  for (const char* file : {"train/audio/1.mp3", "train/2.mp3", "test/3.mp3"})
    folder_.write(std::string("hf/") + file, "");
  folder_.write("hf/train/metadata.csv",
                "file_name,transcription\naudio/1.mp3,\"One, two.\"\n2.mp3,Three.\n");
  folder_.write("hf/test/metadata.jsonl",
                "{\"file_name\": \"3.mp3\", \"transcription\": \"Four.\"}\n");
  folder_.write("hf/notes/readme.md", "");
  const ImportedSet set = import({"hf"});
  EXPECT_THAT(rows(set), ElementsAre("3 : Four.", "1 : One, two.", "2 : Three."));
  EXPECT_EQ(set.utterances[0].where, "test: metadata.jsonl line 1");
}

TEST_F(Sources, FoldersWithTablesOfTheirOwnAreSpeakers) {
  for (const char* name : {"anna", "boris"}) {
    folder_.write(std::string("set/") + name + "/wavs/0001.wav", "");
    folder_.write(std::string("set/") + name + "/metadata.csv", "0001|Hello.\n");
  }
  EXPECT_THAT(rows(import({"set"})),
              ElementsAre("anna/0001 anna: Hello.", "boris/0001 boris: Hello."));
}

TEST_F(Sources, ParquetWithRecordings) {
  if (!parquet_available()) GTEST_SKIP() << "built without Arrow";
  const fs::path file = fs::path(TTSFT_FIXTURES) / "parquet/audio.parquet";
  for (const fs::path& source : {file, file.parent_path()}) {
    const ImportedSet set = import_sources({source}, {});
    EXPECT_EQ(set.format, "parquet");
    EXPECT_THAT(rows(set), ElementsAre("one 7: The first one.", "two 8: The second one.",
                                       "three 8: Nothing to hear."));
    ASSERT_TRUE(set.utterances[1].part.has_value());
    EXPECT_EQ(set.utterances[1].part->row, 1);
    EXPECT_EQ(set.utterances[1].where, "audio.parquet row 2");
  }
  fs::create_directories(folder_ / "hub/data");
  fs::copy_file(file, folder_ / "hub/data/train-0.parquet");
  EXPECT_EQ(import({"hub"}).utterances.size(), 3u);

  ParquetWriter paths(folder_ / "paths.parquet",
                      {{"path", ParquetKind::kText}, {"sentence", ParquetKind::kText}});
  folder_.write("a.wav", "");
  paths.add({std::string("a.wav"), std::string("One.")});
  paths.add({std::string("b.wav"), std::string("Gone.")});
  paths.finish();
  const ImportedSet set = import({"paths.parquet"});
  EXPECT_THAT(rows(set), ElementsAre("a : One."));
  EXPECT_THAT(rejections(set), ElementsAre("paths.parquet row 2: b.wav is not there"));

  ParquetWriter texts(folder_ / "texts.parquet", {{"sentence", ParquetKind::kText}});
  texts.add({std::string("One.")});
  texts.finish();
  EXPECT_THAT(message_of<DataError>([&] { import({"texts.parquet"}); }),
              AllOf(HasSubstr("no column of recordings"), HasSubstr("sentence")));
}

TEST_F(Sources, KaldiSegments) {
  folder_.write("set/wav.scp", "tape1 tape1.wav\ntape2 gone.wav\n");
  folder_.write("set/tape1.wav", "");
  folder_.write("set/segments",
                "u1 tape1 0.5 2.25\nu2 tape1 3 -1\nu3 tape2 0 1\nu4 tape9 0 1\nu5 tape1 4 3\n"
                "u6 tape1 one 2\n");
  folder_.write("set/text", "u1 one\nu2 two\nu3 three\nu4 four\nu5 five\nu6 six\nu7 seven\n");
  folder_.write("set/utt2spk", "u1 anna\nu2 boris\n");
  const ImportedSet set = import({"set"});
  EXPECT_THAT(rows(set), ElementsAre("u1 anna: one", "u2 boris: two"));
  const Utterance& first = set.utterances[0];
  ASSERT_TRUE(first.part.has_value());
  EXPECT_EQ(first.part->file, folder_ / "set/tape1.wav");
  EXPECT_EQ(first.part->begin, 0.5);
  EXPECT_EQ(first.part->end, 2.25);
  EXPECT_EQ(first.recording, "tape1");
  EXPECT_EQ(set.utterances[1].part->end, 0);  // to the end of the tape
  EXPECT_THAT(
      rejections(set),
      ElementsAre("segments line 4: its recording tape9 is not in wav.scp",
                  "segments line 5: not `utterance recording begin end` in seconds",
                  "segments line 6: not `utterance recording begin end` in seconds",
                  "segments line 3: gone.wav is not there", "text line 7: not in segments"));
}

TEST_F(Sources, SeveralSourcesAreOneSet) {
  folder_.write("one/wavs/0001.wav", "");
  folder_.write("one/wavs/x.wav", "");
  folder_.write("one/metadata.csv", "0001|Hello.\nx|Ex.\nnobody|Gone.\n");
  folder_.write("two/0001.wav", "");
  folder_.write("two/set.jsonl", "{\"audio\": \"0001.wav\", \"text\": \"Other.\"}\n");
  const ImportedSet set = import({"one", "two/set.jsonl"});
  EXPECT_EQ(set.format, "LJSpeech and JSONL");
  EXPECT_THAT(rows(set), ElementsAre("one/0001 : Hello.", "x : Ex.", "two/0001 : Other."));
  EXPECT_EQ(set.utterances[0].where, "one: metadata.csv line 1");
  EXPECT_EQ(set.utterances[2].folder, folder_ / "two");
  EXPECT_THAT(rejections(set), ElementsAre("one: metadata.csv line 3: nobody is not there"));
}

TEST_F(Sources, RowsOfOneNameAreCalledByTheirPaths) {
  for (const char* file : {"a/0001.wav", "b/0001.wav", "0002.wav"})
    folder_.write(std::string("set/") + file, "");
  folder_.write("set/metadata.csv", "a/0001.wav|One.\nb\\0001.wav|Two.\n0002|Three.\n");
  EXPECT_THAT(rows(import({"set"})),
              ElementsAre("a/0001 : One.", "b/0001 : Two.", "0002 : Three."));
  folder_.write("set/set.jsonl",
                "{\"audio\": \"a/0001.wav\", \"text\": \"One.\"}\n"
                "{\"audio\": \"b/0001.wav\", \"text\": \"Two.\"}\n");
  EXPECT_THAT(rows(import({"set/set.jsonl"})), ElementsAre("a/0001 : One.", "b/0001 : Two."));
}

TEST_F(Sources, ASecondRowOfAnIdIsRefusedAlone) {
  folder_.write("set/a.wav", "");
  folder_.write("set/metadata.csv", "a|One.\na|Again.\n");
  const ImportedSet set = import({"set"});
  EXPECT_THAT(rows(set), ElementsAre("a : One."));
  EXPECT_THAT(rejections(set), ElementsAre(AllOf(HasSubstr("metadata.csv line 2: the id 'a'"),
                                                 HasSubstr("metadata.csv line 1 already"))));
}

class Voices : public Sources {
 protected:
  Voices() {
    for (const char* name : {"anna", "boris"}) {
      folder_.write(std::string("set/") + name + "/" + name + "_1.wav", "");
      folder_.write(std::string("set/") + name + "/" + name + "_1.txt", "Hello.");
    }
  }
  ImportDefaults with(const ReferenceChoice& reference) const {
    ImportDefaults defaults;
    defaults.reference = reference;
    return defaults;
  }
  fs::path clip(const std::string& name) const {
    return folder_ / ("set/" + name + "/" + name + "_1.wav");
  }
};

TEST_F(Voices, EachSpeakerHasTheReferenceThatNamesIt) {
  ReferenceChoice choice;
  choice.by_speaker = {{"ANNA", clip("anna")}};
  const ImportedSet set = import({"set"}, with(choice));
  EXPECT_EQ(set.utterances[0].reference_path, clip("anna"));
  EXPECT_EQ(set.utterances[0].row["ref_audio"], clip("anna").string());
  EXPECT_TRUE(set.utterances[1].reference.empty());
}

TEST_F(Voices, OneReferenceForSeveralSpeakersIsRefused) {
  ReferenceChoice choice;
  choice = clip("anna");
  EXPECT_THAT(message_of<UsageError>([&] { import({"set"}, with(choice)); }),
              AllOf(HasSubstr("the voice of 2 speakers: anna, boris"), HasSubstr("data.reference"),
                    HasSubstr("{anna: FILE, ...}")));
  choice.clear();
  choice.by_speaker = {{"anna", clip("anna")}, {"dan", clip("boris")}};
  EXPECT_THAT(message_of<UsageError>([&] { import({"set"}, with(choice)); }),
              AllOf(HasSubstr("no speaker 'dan'"), HasSubstr("anna, boris")));
  choice.by_speaker = {{"anna", clip("anna")}, {"boris", clip("anna")}};
  EXPECT_THAT(message_of<DataError>([&] { import({"set"}, with(choice)); }),
              HasSubstr("one recording is the voice of 'anna' and of 'boris'"));
  choice.by_speaker = {{"anna", folder_ / "gone.wav"}};
  EXPECT_THAT(message_of<UsageError>([&] { import({"set"}, with(choice)); }),
              HasSubstr("gone.wav"));
}

TEST_F(Voices, NamesThatDifferInCaseAloneAreRefusedOverAllSources) {
  folder_.write("more/Anna/x.wav", "");
  folder_.write("more/Anna/x.txt", "Hello.");
  EXPECT_THAT(message_of<DataError>([&] {
                import({"set", "more"});
              }),
              AllOf(HasSubstr("'anna' and 'Anna'"), HasSubstr("more: ")));
  folder_.write("one/x.wav", "");
  folder_.write("one/y.wav", "");
  folder_.write("one/metadata.csv", "file|text|speaker\nx|Ex.|Anna\ny|Why.|anna\n");
  EXPECT_THAT(message_of<DataError>([&] { import({"one"}); }),
              AllOf(HasSubstr("'Anna' and 'anna'"), HasSubstr("line 3")));
}

}  // namespace
}  // namespace ttsft
