// What the columns of a table are taken for: by evidence or as somebody says, never by position.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "src/data/table_columns.h"
#include "support/temporary_folder.h"
#include "ttsft/core/error.h"
#include "ttsft/data/importers.h"

namespace ttsft {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Table : public testing::Test {
 protected:
  Table() {
    for (const char* name : {"0001", "0002", "0003", "0004"})
      folder_.write("wavs/" + std::string(name) + ".wav", "");
  }
  ImportedSet import(const std::string& content, std::vector<std::string> columns = {},
                     const std::string& name = "metadata.csv") {
    folder_.write(name, content);
    ImportDefaults defaults;
    defaults.columns = std::move(columns);
    return import_set(folder_ / name, defaults);
  }
  std::string error(const std::string& content, std::vector<std::string> columns = {}) {
    return message_of<DataError>([&] { import(content, std::move(columns)); });
  }
  static std::vector<std::string> texts(const ImportedSet& set) {
    std::vector<std::string> found;
    for (const Utterance& row : set.utterances) found.push_back(row.text);
    return found;
  }
  static std::vector<std::string> speakers(const ImportedSet& set) {
    std::vector<std::string> found;
    for (const Utterance& row : set.utterances) found.push_back(row.speaker);
    return found;
  }

  TemporaryFolder folder_;
};

constexpr const char* kSpeakers =
    "0001.wav|Hello one there.|anna\n0002.wav|Hello two there.|anna\n"
    "0003.wav|Hello three there.|anna\n";

TEST_F(Table, ASpeakersNameIsNeverATextToRead) {
  EXPECT_THAT(error(kSpeakers), AllOf(HasSubstr("'anna'"), HasSubstr("data.columns")));
  // One for each row, and longer than the texts.
  EXPECT_THAT(error("0001|Hi.|anna_of_the_north\n0002|Yes.|boris_the_second\n"),
              HasSubstr("anna_of_the_north"));
  EXPECT_THAT(error("0001|Ann, hi.|anna\n0002|No, Ann.|anna\n0003|Ann ran.|anna\n"),
              HasSubstr("'anna'"));
  const ImportedSet set = import(kSpeakers, {"file", "text", "speaker"});
  EXPECT_THAT(speakers(set), ElementsAre("anna", "anna", "anna"));
  EXPECT_EQ(set.utterances[0].text, "Hello one there.");
  EXPECT_THAT(speakers(import("audio_file|text|speaker_name\n0001|One.|ada\n")),
              ElementsAre("ada"));
}

TEST_F(Table, AReadingIsTakenAndARowThatHasNoneIsNamed) {
  const ImportedSet set = import(
      "0001|Dr. Lee paid $5.|Doctor Lee paid five dollars.\n0002|It is 10:30.|It is ten thirty.\n"
      "0003|Über 20 Öfen.|Über zwanzig Öfen.\n0004|你好2|你好二\n");
  EXPECT_THAT(texts(set), ElementsAre("Doctor Lee paid five dollars.", "It is ten thirty.",
                                      "Über zwanzig Öfen.", "你好二"));
  EXPECT_TRUE(reads_as("1984", "nineteen eighty-four"));
  EXPECT_FALSE(reads_as("He said yes", "no."));
}

TEST_F(Table, APipeInATextIsOneRefusedRow) {
  const ImportedSet set = import("0001|He said yes | no.\n0002|Two.\n");
  EXPECT_THAT(texts(set), ElementsAre("Two."));
  EXPECT_THAT(set.rejected.at(0).reason, HasSubstr("'no.'"));
  EXPECT_EQ(import("0001|One | two | three.\n0002|Two.\n").rejected.size(), 1u);
}

TEST_F(Table, SpacesBlankLinesAndEmptyThirdColumnsVanish) {
  const ImportedSet set = import(
      "\xef\xbb\xbf"
      "0001 | One. \r\n\r\n   \r\n0002|Two|\r\n0003|Three|Three \r\n0004|");
  EXPECT_THAT(texts(set), ElementsAre("One.", "Two", "Three"));
  EXPECT_EQ(set.rejected.at(0).guard, "text_empty");
  EXPECT_THAT(texts(import("0001|One.\r0002|Two.\r")), ElementsAre("One.", "Two."));
}

TEST_F(Table, OtherSeparatorsAreReadWhereTheyAreSafe) {
  EXPECT_THAT(error("0001,Hello one.\n0002,Two, three.\n"), HasSubstr("commas"));
  EXPECT_THAT(texts(import("0001,Hello one.\n0002,\"Two, \"\"three\"\".\"\n", {"file", "text"})),
              ElementsAre("Hello one.", "Two, \"three\"."));
  const ImportedSet quoted =
      import("file_name,text,speaker_id\n0001.wav,\"a,\nb\",x\n0002.wav,c,y\n");
  EXPECT_THAT(texts(quoted), ElementsAre("a, b", "c"));
  EXPECT_THAT(speakers(quoted), ElementsAre("x", "y"));
  EXPECT_EQ(import("path,sentence\n0001,a\n0002,\"b\n").rejected.size(), 1u);
  folder_.write("clips/cv1.mp3", "");
  const ImportedSet voice =
      import("client_id\tpath\tsentence\tup_votes\tlocale\nabc\tcv1.mp3\tHe said \"no\".\t2\ten\n",
             {}, "validated.tsv");
  EXPECT_THAT(texts(voice), ElementsAre("He said \"no\"."));
  EXPECT_EQ(voice.utterances[0].speaker, "abc");
  EXPECT_EQ(voice.utterances[0].language, "en");
  EXPECT_THAT(texts(import("0001\tOne.\n0002\tTwo.\n")), ElementsAre("One.", "Two."));
}

TEST_F(Table, WhatNothingExplainsIsRefusedWithTheKeyToSet) {
  EXPECT_THAT(error("0001|a|b|c\n0002|d|e|f\n"),
              AllOf(HasSubstr("4 columns"), HasSubstr("data.columns")));
  EXPECT_THAT(error("text|speaker\none|ada\n"), HasSubstr("names has none for the recordings"));
  EXPECT_THAT(texts(import("0001|x|a|9\n0002|y|b|8\n", {"file", "speaker", "text", "-"})),
              ElementsAre("a", "b"));
  EXPECT_THROW(import("0001|a\n", {"file", "words"}), UsageError);
  EXPECT_THROW(import("0001|a\n", {"file", "speaker"}), UsageError);
  EXPECT_THROW(import("0001|a\n", {"file", "text", "text"}), UsageError);
}

TEST_F(Table, Utf16IsNamedWithAndWithoutItsMark) {
  const std::string wide("0\0001\000|\000O\000n\000e\000.\000\n\000", 16);
  EXPECT_THAT(error(wide), HasSubstr("UTF-16"));
  EXPECT_THAT(error("\xff\xfe" + wide), HasSubstr("UTF-16"));
}

TEST_F(Table, NamesThatPeopleWouldCallTheSameAreFound) {
  folder_.write("wavs/Caf\xc3\xa9.WAV", "");
  const ImportedSet set = import("wavs\\0001.wav|a\n0002.WAV|b\ncafe\xcc\x81|c\n");
  EXPECT_THAT(texts(set), ElementsAre("a", "b", "c"));
  EXPECT_EQ(set.utterances[0].audio_path, folder_ / "wavs/0001.wav");
  folder_.write("wavs/X.wav", "");
  folder_.write("wavs/x.WAV", "");
  EXPECT_EQ(import("0001|a\nwavs/x.wav|b\n").rejected.at(0).guard, "audio_missing")
      << "which of the two?";
}

}  // namespace
}  // namespace ttsft
