#include "ttsft/data/importers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/temporary_folder.h"
#include "ttsft/core/error.h"
#include "ttsft/io/atomic_file.h"
#include "ttsft/io/parquet.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const fs::path kFixtures = TTSFT_FIXTURES;

ReferenceChoice choice(const fs::path& file) {
  ReferenceChoice reference;
  reference = file;
  return reference;
}

// Importers look at names only, so an empty file is a recording.
class Import : public ::testing::Test {
 protected:
  ImportedSet import(const std::string& source, const ImportDefaults& defaults = {}) const {
    return import_set(folder_ / source, defaults);
  }
  std::string error(const std::string& source) const {
    return message_of<DataError>([&] { import(source); });
  }
  static std::vector<std::string> ids(const ImportedSet& set) {
    std::vector<std::string> found;
    for (const Utterance& row : set.utterances) found.push_back(row.id);
    return found;
  }
  static std::vector<std::string> rejections(const ImportedSet& set) {
    std::vector<std::string> found;
    for (const RejectedRow& row : set.rejected) found.push_back(row.id + ": " + row.guard);
    return found;
  }

  TemporaryFolder folder_;
};

using LjSpeech = Import;
using Jsonl = Import;
using AudioFolder = Import;
using Kaldi = Import;

TEST_F(LjSpeech, ReadsTheFolderWithWavsBelow) {
  const ImportedSet set = import_set(kFixtures / "austen", {});
  EXPECT_EQ(set.format, "LJSpeech");
  ASSERT_EQ(set.utterances.size(), 5u);
  EXPECT_TRUE(set.rejected.empty());
  const Utterance& first = set.utterances[0];
  EXPECT_EQ(first.id, "austen-0870");
  EXPECT_EQ(first.audio_path, kFixtures / "austen/wavs/austen-0870.wav");
  EXPECT_THAT(first.text, HasSubstr("And Mister John"));  // the normalised column
  EXPECT_EQ(first.where, "metadata.csv line 1");
  EXPECT_EQ(first.row, (ordered_json{{"audio", first.audio_path.string()}, {"text", first.text}}));
}

TEST_F(LjSpeech, ReadsTheFileWithWavsBeside) {
  const ImportDefaults defaults{"ada", choice(kFixtures / "qwen3_tts/audio/ref.wav"), "calmly"};
  const ImportedSet set = import_set(kFixtures / "qwen3_tts/audio/metadata.csv", defaults);
  EXPECT_THAT(ids(set), ElementsAre("a", "b", "c"));
  const Utterance& row = set.utterances[1];
  EXPECT_EQ(row.audio_path, kFixtures / "qwen3_tts/audio/b.wav");
  EXPECT_EQ(row.speaker, "ada");
  EXPECT_EQ(row.instruct, "calmly");
  EXPECT_EQ(row.reference_path, kFixtures / "qwen3_tts/audio/ref.wav");
  EXPECT_EQ(row.row["ref_audio"], row.reference);
}

TEST_F(LjSpeech, TakesEveryFormOfTheFirstColumn) {
  for (const char* file : {"beside.wav", "wavs/below.wav", "wavs/x.v2.flac", "wavs/d.wav"}) {
    folder_.write(file, "");
  }
  folder_.write("metadata.csv",
                "\xEF\xBB\xBF"
                "beside|one\r\n\r\nbelow.wav|two|\r\nwavs/d.wav| thr33 |three \r\nx.v2|four");
  const ImportedSet set = import("metadata.csv");
  EXPECT_THAT(ids(set), ElementsAre("beside", "below", "d", "x.v2"));
  EXPECT_EQ(set.utterances[1].text, "two");  // an empty third column does not win
  EXPECT_EQ(set.utterances[2].text, "three");
  EXPECT_EQ(set.utterances[3].where, "metadata.csv line 5");
  EXPECT_EQ(set.utterances[3].audio_path, folder_ / "wavs/x.v2.flac");
  EXPECT_THAT(ids(import("")), ElementsAre("beside", "below", "d", "x.v2"));
}

TEST_F(LjSpeech, RejectsSingleRows) {
  folder_.write("a.wav", "");
  folder_.write("b.wav", "");
  folder_.write("metadata.csv", "a|one\nb| \ngone|three\n");
  const ImportedSet set = import("metadata.csv");
  EXPECT_THAT(ids(set), ElementsAre("a"));
  EXPECT_THAT(rejections(set), ElementsAre("b: text_empty", "gone: audio_missing"));
  EXPECT_EQ(set.rejected[1].where, "metadata.csv line 3");
  EXPECT_THAT(set.rejected[1].reason, HasSubstr("gone"));
}

TEST_F(LjSpeech, RefusesMalformedLinesByNumber) {
  folder_.write("a.wav", "");
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"a|one|one|speaker\n", "4 columns"},
      {"a\nb\n", "1 columns"},
      {"|one\n", "none of 1 rows"},
      {"", "empty"},
      {"b|one\nc|two\n", "none of 2 rows"}};
  for (const auto& [content, reason] : cases) {
    folder_.write("metadata.csv", content);
    EXPECT_THAT(error("metadata.csv"), HasSubstr(reason)) << content;
  }
}

TEST_F(LjSpeech, TheSecondRowOfAnIdIsRefusedAndTheFirstKept) {
  folder_.write("a.wav", "");
  folder_.write("metadata.csv", "a|one\na|two\n");
  const ImportedSet set = import("metadata.csv");
  ASSERT_THAT(ids(set), ElementsAre("a"));
  EXPECT_EQ(set.utterances[0].text, "one");
  EXPECT_THAT(rejections(set), ElementsAre("metadata.csv line 2: row_malformed"));
  EXPECT_THAT(set.rejected[0].reason,
              AllOf(HasSubstr("'a'"), HasSubstr("metadata.csv line 1 already")));
}

// One bad row is one refused row.
TEST_F(LjSpeech, RejectsMalformedLinesByNumber) {
  for (const char* name : {"a.wav", "b.wav", "c.wav"}) folder_.write(name, "");
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"c\n", "1 columns"},
      {"c|x|y|z\n", "4 columns"},
      {"|one\n", "recording is empty"},
      {"c|caf\xE9\n", "not UTF-8"},
      {std::string("c|B\0C\n", 6), "NUL"},
      {"c|He said yes | no.\n", "is there a | in the text?"}};
  for (const auto& [line, reason] : cases) {
    folder_.write("metadata.csv", "a|one\nb|two\n" + line);
    const ImportedSet set = import("metadata.csv");
    EXPECT_THAT(ids(set), ElementsAre("a", "b")) << line;
    EXPECT_THAT(rejections(set), ElementsAre("metadata.csv line 3: row_malformed")) << line;
    EXPECT_THAT(set.rejected[0].reason, HasSubstr(reason)) << line;
  }
}

TEST_F(LjSpeech, SkipsColumnNames) {
  folder_.write("a.wav", "");
  folder_.write("metadata.csv", "id|text|normalized_text\na|1|one\n");
  EXPECT_THAT(ids(import("")), ElementsAre("a"));
  folder_.write("id.wav", "");  // a recording of that name makes it a row
  folder_.write("metadata.csv", "id|text\na|one\n");
  EXPECT_THAT(ids(import("")), ElementsAre("id", "a"));
}

TEST_F(Jsonl, KeepsTheRowAndReadsEveryAlias) {
  folder_.write("a.wav", "");
  folder_.write("b.wav", "");
  folder_.write("r.wav", "");
  folder_.write("set.jsonl",
                R"({"z": [1, 2], "audio": "a.wav", "text": " Gr\u00fc\u00dfe ", "speaker": 7,)"
                R"( "language": "de", "instruct": "sadly", "ref_audio": "r.wav"})"
                "\n\n"
                R"({"audio_filepath": "b.wav", "sentence": "two", "utterance_id": 12,)"
                R"( "spk": "bob", "reference": "r.wav", "duration": 1.5})"
                "\r\n");
  const ImportedSet set = import("set.jsonl", {"ada", {}, "calmly"});
  EXPECT_EQ(set.format, "JSONL");
  EXPECT_THAT(ids(set), ElementsAre("a", "12"));
  const Utterance& first = set.utterances[0];
  EXPECT_EQ(first.text,
            " Gr\xC3\xBC\xC3\x9F"
            "e ");  // as written: upstream tokenises it so
  EXPECT_EQ(first.audio, "a.wav");
  EXPECT_EQ(first.audio_path, folder_ / "a.wav");
  EXPECT_EQ(first.speaker, "7");
  EXPECT_EQ(first.language, "de");
  EXPECT_EQ(first.instruct, "sadly");
  EXPECT_EQ(first.reference_path, folder_ / "r.wav");
  EXPECT_EQ(
      first.row.dump(),
      "{\"z\":[1,2],\"audio\":\"a.wav\",\"text\":\" Gr\xC3\xBC\xC3\x9F"
      "e \",\"speaker\":7,\"language\":\"de\",\"instruct\":\"sadly\",\"ref_audio\":\"r.wav\"}");
  const Utterance& second = set.utterances[1];
  EXPECT_EQ(second.where, "set.jsonl line 3");
  EXPECT_EQ(second.speaker, "bob");
  EXPECT_EQ(second.instruct, "calmly");
  EXPECT_EQ(second.row["duration"], 1.5);
  EXPECT_EQ(second.row["audio"], "b.wav");  // added under upstream's names
  EXPECT_EQ(second.row["text"], "two");
  EXPECT_EQ(second.row["ref_audio"], "r.wav");
}

TEST_F(Jsonl, TakesWhatUpstreamPrepared) {
  const fs::path before = fs::current_path();
  fs::current_path(kFixtures / "qwen3_tts");  // its paths start there, not at the file's folder
  const ImportedSet set = import_set("expected/prep_out.jsonl", {});
  fs::current_path(before);
  EXPECT_THAT(ids(set), ElementsAre("a", "b", "c"));
  EXPECT_EQ(set.utterances[0].audio, "audio/a.wav");
  EXPECT_EQ(set.utterances[0].audio_path, kFixtures / "qwen3_tts/audio/a.wav");
  EXPECT_EQ(set.utterances[0].row["audio_codes"][0].size(), 16u);
  EXPECT_EQ(set.utterances[0].row["audio"], "audio/a.wav");
}

TEST_F(Jsonl, TheWorkingDirectoryComesFirst) {
  folder_.write("data/a.wav", "");
  folder_.write("a.wav", "");
  folder_.write("data/set.jsonl", R"({"wav": "a.wav", "text": "one"})");
  const fs::path before = fs::current_path();
  fs::current_path(folder_.path());
  const ImportedSet set = import_set("data/set.jsonl", {});
  fs::current_path(before);
  EXPECT_EQ(set.utterances[0].audio_path, folder_ / "a.wav");
  EXPECT_EQ(import("data/set.jsonl").utterances[0].audio_path, folder_ / "data/a.wav");
}

TEST_F(Jsonl, RejectsSingleRows) {
  folder_.write("a.wav", "");
  folder_.write("set.jsonl",
                R"({"audio": "a.wav", "text": "one"})"
                "\n"
                R"({"audio": "gone.wav", "text": "two"})"
                "\n"
                R"({"id": "x", "audio": "a.wav", "text": " "})"
                "\n"
                R"({"id": "y", "audio": "a.wav", "text": "y", "ref_audio": "gone.wav"})"
                "\n"
                R"({"text": "no audio", "audio": null})");
  const ImportedSet set = import("set.jsonl");
  EXPECT_THAT(ids(set), ElementsAre("a"));
  EXPECT_THAT(rejections(set), ElementsAre("gone: audio_missing", "x: text_empty",
                                           "y: audio_missing", "set.jsonl line 5: audio_missing"));
  EXPECT_THAT(set.rejected[2].reason, HasSubstr("reference gone.wav"));
}

TEST_F(Jsonl, RejectsMalformedLinesByNumber) {
  folder_.write("a.wav", "");
  const std::string good = R"({"audio": "a.wav", "text": "one"})";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"{", "not JSON"},
      {"[1]", "not a JSON object"},
      {R"({"audio": {"path": "a.wav"}, "text": "x"})", "'audio'"},
      {R"({"audio": "a.wav", "text": 3})", "'text'"},
      {R"({"audio": "a.wav", "text": "x", "id": 1.5})", "'id'"},
      {R"({"audio": "a.wav", "text": "x", "speaker": ["s"]})", "'speaker'"},
      {R"({"audio": "a.wav", "text": "B\u0000C"})", "NUL"},
      {"{\"audio\": \"a.wav\", \"text\": \"\xFF\"}", "not UTF-8"}};
  for (const auto& [line, reason] : cases) {
    folder_.write("set.jsonl", good + "\n" + line + "\n");
    const ImportedSet set = import("set.jsonl");
    EXPECT_THAT(ids(set), ElementsAre("a")) << line;
    EXPECT_THAT(rejections(set), ElementsAre("set.jsonl line 2: row_malformed")) << line;
    EXPECT_THAT(set.rejected[0].reason, HasSubstr(reason));
  }
  folder_.write("set.jsonl", good + "\n" + good);
  EXPECT_THAT(rejections(import("set.jsonl")), ElementsAre("set.jsonl line 2: row_malformed"));
  folder_.write("set.jsonl", "\n\n");
  EXPECT_THAT(error("set.jsonl"), HasSubstr("empty"));
}

TEST_F(AudioFolder, PairsRecordingsWithTexts) {
  for (const char* file : {"b.wav", "a.FLAC", "c.wav", "d.mp3", "._a.wav", "notes/.hidden/x.wav"}) {
    folder_.write("set/" + std::string(file), "");
  }
  folder_.write("set/a.txt", "\xEF\xBB\xBFone\r\ntwo \n");
  folder_.write("set/b.lab", "three");
  folder_.write("set/c.txt", "\n");
  folder_.write("set/c.lab", "");
  folder_.write("set/README.txt", "about");
  const ImportedSet set = import("set");
  EXPECT_EQ(set.format, "wav + txt");
  EXPECT_THAT(ids(set), ElementsAre("a", "b"));
  EXPECT_EQ(set.utterances[0].text, "one two");
  EXPECT_EQ(set.utterances[0].speaker, "");
  EXPECT_EQ(set.utterances[1].text, "three");
  EXPECT_EQ(set.utterances[1].row["audio"], fs::canonical(folder_ / "set/b.wav").string());
  EXPECT_THAT(rejections(set),
              ElementsAre("c: text_empty", "d: text_empty", "README.txt: audio_missing"));
}

TEST_F(AudioFolder, SubFoldersAreSpeakers) {
  for (const char* name : {"ada/a1", "bob/b1", "c"}) {
    folder_.write("set/" + std::string(name) + ".wav", "");
    folder_.write("set/" + std::string(name) + ".txt", name);
  }
  folder_.write("set/ada/README.txt", "x");
  folder_.write("set/bob/README.txt", "x");
  const ImportedSet set = import("set", {"eve", {}, ""});
  EXPECT_THAT(ids(set), ElementsAre("c", "a1", "b1"));
  EXPECT_EQ(set.utterances[0].speaker, "eve");
  EXPECT_EQ(set.utterances[1].speaker, "ada");
  EXPECT_EQ(set.utterances[2].where, "bob/b1.wav");
  EXPECT_EQ(set.rejected.size(), 2u);
}

TEST_F(AudioFolder, FilesOfOneNameAreCalledByTheirPaths) {
  for (const char* name :
       {"ada/1.wav", "ada/1.txt", "bob/1.wav", "bob/1.txt", "bob/2.wav", "bob/2.txt"}) {
    folder_.write("set/" + std::string(name), "text");
  }
  EXPECT_THAT(ids(import("set")), ElementsAre("ada/1", "bob/1", "2"));
}

TEST_F(AudioFolder, EveryFolderIsEntered) {
  for (const char* name : {"ada/ch1/one", "ada/ch1/deep/two", "ada/three"}) {
    folder_.write("set/" + std::string(name) + ".wav", "");
    folder_.write("set/" + std::string(name) + ".txt", name);
  }
  const ImportedSet set = import("set");
  EXPECT_THAT(ids(set), ElementsAre("three", "one", "two"));
  for (const Utterance& row : set.utterances) EXPECT_EQ(row.speaker, "ada");
}

TEST_F(AudioFolder, WhatLibriTtsReadIsTaken) {
  folder_.write("set/19/198/a.wav", "");
  folder_.write("set/19/198/a.normalized.txt", "twelve");
  folder_.write("set/19/198/a.original.txt", "12");
  const ImportedSet set = import("set");
  EXPECT_EQ(set.utterances.at(0).text, "twelve");
  EXPECT_EQ(set.utterances.at(0).speaker, "19");
  EXPECT_TRUE(set.rejected.empty());
}

TEST_F(AudioFolder, ATranscriptThatCannotBeReadIsOneRefusedRow) {
  for (const char* name : {"a", "b", "c"}) folder_.write("set/" + std::string(name) + ".wav", "");
  folder_.write("set/a.txt", "Caf\xe9.");
  folder_.write("set/b.txt", "good");
  folder_.write("set/c.txt", std::string("\xff\xfeO\0n\0", 6));
  const ImportedSet set = import("set");
  EXPECT_THAT(ids(set), ElementsAre("b"));
  EXPECT_THAT(rejections(set), ElementsAre("a: row_malformed", "c: row_malformed"));
  EXPECT_THAT(set.rejected[0].reason, AllOf(HasSubstr("a.txt line 1"), HasSubstr("not UTF-8")));
  EXPECT_THAT(set.rejected[1].reason, HasSubstr("UTF-16"));
}

TEST_F(Kaldi, ReadsItsTables) {
  folder_.write("w/1.wav", "");
  folder_.write("w/2.wav", "");
  folder_.write("set/wav.scp", "u1 " + (folder_ / "w/1.wav").string() +
                                   "\nu2\t../w/2.wav\nu3 w/x\n" + "u4 ../w/1.wav\n");
  folder_.write("set/text", "u2 two words\nu1 one\nu3 three\nu5 five\n");
  folder_.write("set/utt2spk", "u1 ada\n");
  const ImportedSet set = import("set", {"eve", {}, ""});
  EXPECT_EQ(set.format, "Kaldi");
  EXPECT_THAT(ids(set), ElementsAre("u1", "u2"));
  EXPECT_EQ(set.utterances[0].speaker, "ada");
  EXPECT_EQ(set.utterances[1].speaker, "eve");
  EXPECT_EQ(set.utterances[1].text, "two words");
  EXPECT_EQ(set.utterances[1].where, "wav.scp line 2");
  EXPECT_THAT(rejections(set),
              ElementsAre("u3: audio_missing", "u4: text_empty", "u5: audio_missing"));
}

// What CosyVoice's tools leave beside the tables goes into the rows of a model that reads it.
TEST_F(Kaldi, InstructAndEncodedRows) {
  const fs::path prep = kFixtures / "cosyvoice3/expected/prep";
  ImportDefaults defaults;
  defaults.encoded_keys = {"speech_token"};
  const ImportedSet set = import_set(prep, defaults);
  ASSERT_EQ(ids(set), (std::vector<std::string>{"a", "c", "ref"}));
  const Utterance& c = set.utterances[1];
  EXPECT_EQ(c.instruct,
            "You are a helpful assistant. Please say a sentence in a very soft voice."
            "<|endofprompt|>");
  EXPECT_EQ(c.row["speech_token"].size(), 40u);
  EXPECT_EQ(c.row["utt_embedding"].size(), 192u);
  // Another model finds no recordings: the paths are those of the machine that made the set.
  EXPECT_THROW(import_set(prep, {}), DataError);
}

TEST_F(Import, ParquetShards) {
  if (!parquet_available()) GTEST_SKIP() << "built without Arrow";
  const fs::path parquet = kFixtures / "cosyvoice3/expected/prep/parquet";
  ImportDefaults defaults;
  defaults.encoded_keys = {"speech_token"};
  const ImportedSet set = import_set(parquet, defaults);
  EXPECT_EQ(set.format, "parquet shards");
  ASSERT_EQ(ids(set), (std::vector<std::string>{"a", "c", "ref"}));
  const Utterance& ref = set.utterances[2];
  EXPECT_EQ(ref.where, "parquet_000000000.tar row 3");
  EXPECT_EQ(ref.row["speech_token"].size(), 50u);
  EXPECT_EQ(ref.row["utt_embedding"].size(), 192u);
  EXPECT_TRUE(ref.instruct.ends_with("<|endofprompt|>"));
  EXPECT_FALSE(ref.text.empty());
  EXPECT_FALSE(ref.speaker.empty());

  folder_.write("moved/data.list", "nowhere/shard.tar\n");
  EXPECT_THAT(error("moved"), AllOf(HasSubstr("nowhere/shard.tar"), HasSubstr("data.list line 1")));
  folder_.write("wrong/data.list", "shard.tar\n");
  ParquetWriter writer(folder_ / "wrong/shard.tar", {{"name", ParquetKind::kText}});
  writer.add({std::string("a")});
  writer.finish();
  EXPECT_THAT(error("wrong"), AllOf(HasSubstr("no column utt"), HasSubstr("name")));
}

TEST_F(Kaldi, RefusesWhatItCannotRead) {
  folder_.write("set/1.wav", "");
  folder_.write("set/wav.scp", "u1 1.wav\n");
  EXPECT_THAT(error("set"), HasSubstr("'text'"));
  folder_.write("set/text", "u1 one\nu1 two\n");
  const ImportedSet twice = import("set");
  EXPECT_EQ(twice.utterances.at(0).text, "one");
  EXPECT_EQ(twice.rejected.at(0).where, "text line 2");
  folder_.write("set/text", "u1 one\n");
  folder_.write("set/wav.scp", "u1 sox 1.wav -t wav - |\n");
  EXPECT_THAT(error("set"), HasSubstr("wav.scp line 1"));
  folder_.write("set/segments", "u1 u1 0 1\n");
  EXPECT_THAT(error("set"), HasSubstr("wav.scp line 1"));
}

TEST_F(Import, RefusesWhatIsNoDataSet) {
  EXPECT_THAT(error("absent"), HasSubstr("absent"));
  folder_.write("x.parquet", "");
  if (parquet_available()) {
    EXPECT_THAT(error("x.parquet"), HasSubstr("is this a parquet file?"));
  }
  folder_.write("x.docx", "");
  EXPECT_THAT(error("x.docx"), AllOf(HasSubstr("x.docx"), HasSubstr("LJSpeech")));
  fs::remove(folder_ / "x.parquet");
  EXPECT_THAT(error(""), HasSubstr("no data set"));
}

TEST_F(Import, RowsWithCodesNeedNoRecordingAnyMore) {
  folder_.write("set.jsonl",
                "{\"audio\": \"gone.wav\", \"text\": \"one\", \"audio_codes\": [[1, 2]]}\n"
                "{\"audio\": \"lost.wav\", \"text\": \"two\"}\n");
  const ImportedSet set = import("set.jsonl");
  ASSERT_EQ(set.utterances.size(), 1u);
  EXPECT_EQ(set.utterances[0].id, "gone");
  EXPECT_TRUE(set.utterances[0].audio_path.empty());
  ASSERT_EQ(set.rejected.size(), 1u);
  EXPECT_EQ(set.rejected[0].id, "lost");
}

TEST_F(Import, RowsWithCodesNeedAnIdAtLeast) {
  folder_.write("set.jsonl",
                "{\"id\": \"a__b\", \"audio_codes\": [[1, 2]]}\n{\"audio_codes\": [[1, 2]]}\n");
  const ImportedSet set = import("set.jsonl");
  ASSERT_EQ(set.utterances.size(), 1u);
  EXPECT_EQ(set.utterances[0].id, "a__b");
  ASSERT_EQ(set.rejected.size(), 1u);
  EXPECT_EQ(set.rejected[0].reason, "no audio is named");
}

TEST_F(Import, WhichKeysSayThatARowIsEncodedIsTheModelsAffair) {
  folder_.write(
      "set.jsonl",
      "{\"id\": \"a\", \"codes\": \"a.npy\"}\n"
      "{\"id\": \"b\", \"audio_codes\": [[1, 2]]}\n"
      "{\"id\": \"c\", \"audio\": \"gone.wav\", \"latents\": \"c.npy\", \"text\": \"\"}\n");
  ImportDefaults defaults;
  defaults.encoded_keys = {"latents", "codes"};
  const ImportedSet set = import("set.jsonl", defaults);
  EXPECT_THAT(ids(set), ElementsAre("a", "c"));
  EXPECT_EQ(set.utterances[0].row, (ordered_json{{"id", "a"}, {"codes", "a.npy"}}));
  EXPECT_TRUE(set.utterances[1].audio_path.empty());
  EXPECT_THAT(rejections(set), ElementsAre("b: audio_missing"));
  defaults.encoded_keys = {};
  EXPECT_THAT(message_of<DataError>([&] { import("set.jsonl", defaults); }),
              HasSubstr("none of 3 rows"));
}

TEST_F(Import, ManifestsOfAPreparedFolderAreOneSet) {
  const std::string first = "{\"id\": \"a\", \"audio\": \"a.wav\", \"text\": \"one\"}\n";
  const std::string second = "{\"id\": \"b\", \"audio\": \"b.wav\", \"text\": \"two\"}\n";
  for (const char* name : {"out/a.wav", "out/b.wav"}) folder_.write(name, "");
  folder_.write("out/train_manifest.jsonl", first);
  EXPECT_THAT(ids(import("out")), ElementsAre("a"));
  folder_.write("out/val_manifest.jsonl", second);
  const ImportedSet set = import("out");
  EXPECT_EQ(set.format, "JSONL manifests");
  EXPECT_THAT(ids(set), ElementsAre("a", "b"));
  EXPECT_EQ(set.utterances[1].audio_path, folder_ / "out/b.wav");
  EXPECT_EQ(set.utterances[1].where, "val_manifest.jsonl line 1");
  folder_.write("out/val_manifest.jsonl", first);
  EXPECT_THAT(rejections(import("out")), ElementsAre("val_manifest.jsonl line 1: row_malformed"));
}

TEST_F(Import, AFolderOfTorchFilesIsACacheForModelsThatReadIt) {
  folder_.write("cache/b.pt", "");
  folder_.write("cache/a.pt", "");
  folder_.write("cache/notes.md", "");
  ImportDefaults defaults;
  defaults.speaker = "ada";
  const std::string refused = error("cache");
  EXPECT_THAT(refused, HasSubstr("does not read")) << "without the key nobody asked for";
  defaults.encoded_keys = {"cache"};
  const ImportedSet set = import("cache", defaults);
  EXPECT_EQ(set.format, "torch cache");
  EXPECT_THAT(ids(set), ElementsAre("a", "b"));
  EXPECT_EQ(set.utterances[0].row["cache"], fs::canonical(folder_ / "cache/a.pt").string());
  EXPECT_EQ(set.utterances[0].speaker, "ada");
  EXPECT_EQ(set.utterances[0].where, "a.pt");
  EXPECT_TRUE(set.utterances[0].text.empty());
  EXPECT_TRUE(set.utterances[0].audio_path.empty());
}

TEST_F(Import, OnlyFilesOfTheFolderItselfMakeACache) {
  folder_.write("cache/clip.v2.pt", "");
  folder_.write("cache/deep.pt/x.pt", "");
  ImportDefaults defaults;
  defaults.encoded_keys = {"audio_codes", "cache"};
  EXPECT_THAT(ids(import("cache", defaults)), ElementsAre("clip.v2"));
  EXPECT_THAT(error("cache"),
              AllOf(HasSubstr((folder_ / "cache").string()), HasSubstr("give the recordings")));
  folder_.write("cache/clip.wav", "");  // recordings come first: the models read them all
  folder_.write("cache/clip.txt", "one");
  EXPECT_EQ(import("cache", defaults).format, "wav + txt");
  folder_.write("empty/deep/x.pt", "");
  EXPECT_THAT(message_of<DataError>([&] { import("empty", defaults); }), HasSubstr("no data set"));
}

TEST_F(Import, CodesBesideARecordingAreForTheModelThatReadsThem) {
  for (const char* file : {"a.wav", "a.npy", "b.wav"})
    folder_.write(std::string("set/") + file, "");
  for (const char* file : {"a.lab", "b.lab"}) folder_.write(std::string("set/") + file, "words");
  ImportDefaults defaults;
  EXPECT_FALSE(import("set", defaults).utterances[0].row.contains("npy"));
  defaults.encoded_keys = {"npy", "codes"};
  const ImportedSet set = import("set", defaults);
  EXPECT_EQ(set.utterances[0].row["npy"], (folder_ / "set/a.npy").string());
  EXPECT_FALSE(set.utterances[1].row.contains("npy"));
}

TEST_F(Import, PackedSetsOfFishSpeech) {
  const fs::path file = kFixtures / "fish_s2_pro/expected/prep/00000000.protos";
  ImportDefaults defaults;
  defaults.encoded_keys = {"npy", "codes"};
  const ImportedSet set = import_set(file, defaults);
  EXPECT_EQ(set.format, "packed .protos");
  EXPECT_THAT(ids(set), ElementsAre("00000000-00001", "00000000-00002", "00000000-00003"));
  EXPECT_EQ(set.utterances[0].text, "he was not an");
  EXPECT_EQ(set.utterances[0].speaker, "audio");
  EXPECT_EQ(set.utterances[0].row["codes"].size(), 10u);
  const std::string whole = read_text(file);
  folder_.write("cut/0.protos", whole.substr(0, 2));
  EXPECT_THAT(error("cut"), HasSubstr("ends inside a length"));
  folder_.write("cut/0.protos", std::string("\x03\0\0\0\x12\x07x", 7));
  EXPECT_THAT(error("cut"), HasSubstr("not a packed set"));
}

}  // namespace
}  // namespace ttsft
