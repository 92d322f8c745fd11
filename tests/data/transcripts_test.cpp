#include "ttsft/data/transcripts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "support/temporary_folder.h"
#include "ttsft/core/error.h"

namespace ttsft {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

// "1.5-3 anna: text"
std::vector<std::string> shown(const Transcript& transcript) {
  std::vector<std::string> all;
  for (const Cue& cue : transcript.cues) {
    char times[64];
    std::snprintf(times, sizeof times, "%g-%g ", cue.begin, cue.end);
    all.push_back(times + (cue.speaker.empty() ? "" : cue.speaker + ": ") + cue.text);
  }
  return all;
}

class Transcripts : public ::testing::Test {
 protected:
  Transcript read(const std::string& name, const std::string& text) {
    return read_transcript(folder_.write(name, text));
  }
  TemporaryFolder folder_;
};

const char* const kSrt =
    "\xef\xbb\xbf"
    "1\r\n00:00:01,500 --> 00:00:03,000\r\n<i>Hello</i>\r\nthere.\r\n\r\n"
    "2\r\n01:00:00,000 --> 01:00:02,250 X1:10\r\n- {\\an8}Two &amp; three.\r\n\r\n"
    "3\r\n01:00:03,000 --> 01:00:04,000\r\n[door slams]\r\n\r\n"
    "4\r\nbroken --> 01:00:04,000\r\nlost\r\n";

TEST_F(Transcripts, SubRip) {
  const Transcript found = read("a.srt", kSrt);
  EXPECT_EQ(found.format, "SRT");
  EXPECT_THAT(shown(found), ElementsAre("1.5-3 Hello there.", "3600-3602.25 Two & three."));
  EXPECT_THAT(found.ignored, SizeIs(2));
}

TEST_F(Transcripts, WebVtt) {
  const Transcript found =
      read("a.vtt",
           "WEBVTT - title\n\nNOTE a remark\n\nintro\n00:01.000 --> 00:02.000 align:start\n<v Anna "
           "Lee>Well, "
           "<c.yellow>yes</c>.\n\n00:02.500 --> 00:03.000\n<00:00:02.700>No.\n");
  EXPECT_EQ(found.format, "WebVTT");
  EXPECT_THAT(shown(found), ElementsAre("1-2 Anna Lee: Well, yes.", "2.5-3 No."));
}

TEST_F(Transcripts, RollingCaptionsAreSaidOnce) {
  const Transcript found = read("a.vtt",
                                "WEBVTT\n\n00:01.000 --> 00:02.000\none\n\n00:02.000 --> "
                                "00:02.010\none\n\n00:02.010 --> 00:03.000\none\ntwo\n");
  EXPECT_THAT(shown(found), ElementsAre("1-2 one", "2.01-3 two"));
}

const char* const kTextGrid =
    "File type = \"ooTextFile\"\nObject class = \"TextGrid\"\n\nxmin = 0\nxmax = 3\ntiers? "
    "<exists>\nsize = 2\nitem []:\n    item [1]:\n        class = \"IntervalTier\"\n        name = "
    "\"utterances\"\n        xmin = 0\n        xmax = 3\n        intervals: size = 2\n        "
    "intervals [1]:\n            xmin = 0\n            xmax = 1.25\n            text = \"sil\"\n  "
    "      intervals [2]:\n            xmin = 1.25\n            xmax = 3\n            text = \"say "
    "\"\"hi\"\"\"\n    item [2]:\n        class = \"IntervalTier\"\n        name = \"phones\"\n    "
    " "
    "   xmin = 0\n        xmax = 3\n        intervals: size = 1\n        intervals [1]:\n          "
    " "
    " xmin = 0\n            xmax = 3\n            text = \"h\"\n";

TEST_F(Transcripts, TextGrid) {
  EXPECT_THAT(shown(read("a.TextGrid", kTextGrid)), ElementsAre("1.25-3 say \"hi\""));
  const Transcript words =
      read("b.TextGrid",
           "\"ooTextFile\"\n\"TextGrid\"\n0\n2\n<exists>\n1\n\"IntervalTier\"\n"
           "\"words\"\n0\n2\n2\n0\n1\n\"one\"\n1\n2\n\"two\"\n");
  EXPECT_THAT(shown(words), ElementsAre("0-1 one", "1-2 two"));
  EXPECT_TRUE(words.cues[0].is_word);
}

const char* const kJson =
    R"({"text": "x", "segments": [{"start": 0.5, "end": "1.5", "text": " One.", "speaker": "S1"},
        {"start": 2, "end": 1, "text": "backwards"}, 7, {"start": 2.0, "end": 3.0, "text": "Two."}]})";

TEST_F(Transcripts, WhisperJson) {
  const Transcript found = read("a.json", kJson);
  EXPECT_THAT(shown(found), ElementsAre("0.5-1.5 S1: One.", "2-3 Two."));
  EXPECT_THAT(found.ignored, SizeIs(2));
  EXPECT_THAT(shown(read("b.json", R"({"transcription": [{"offsets": {"from": 500, "to": 900},
                                      "text": " Hi"}]})")),
              ElementsAre("0.5-0.9 Hi"));
}

TEST_F(Transcripts, Kaldi) {
  folder_.write("segments", "u1 rec 0.5 1.5\nu2 rec 2 x\nu3 rec 3 -1\n");
  folder_.write("text", "u1 one two\nu3 three\n");
  folder_.write("utt2spk", "u1 anna\n");
  folder_.write("wav.scp", "rec audio/chapter.wav\n");
  const auto found = read_kaldi_transcripts(folder_.path());
  ASSERT_TRUE(found.contains("rec"));
  EXPECT_TRUE(found.contains("chapter"));
  ASSERT_THAT(found.at("rec").cues, SizeIs(2));
  EXPECT_EQ(found.at("rec").cues[0].speaker, "anna");
  EXPECT_THAT(found.at("rec").ignored, SizeIs(1));
}

TEST_F(Transcripts, WhatIsNoneIsSaidInOneLine) {
  for (const auto& [name, text] : {std::pair("a.srt", "no times here\n"),
                                   {"b.json", "{}"},
                                   {"c.json", "not json"},
                                   {"d.TextGrid", "\"ooTextFile\"\n"}}) {
    try {
      read(name, text);
      FAIL() << name;
    } catch (const DataError& error) {
      EXPECT_THAT(error.what(), HasSubstr(name));
    }
  }
}

TEST_F(Transcripts, MutatedFilesAreReadOrRefused) {
  std::mt19937 random(7);
  for (const auto& [name, text] :
       {std::pair("a.srt", kSrt), {"b.TextGrid", kTextGrid}, {"c.json", kJson}}) {
    for (int i = 0; i < 500; ++i) {
      std::string mutated = text;
      for (int k = 0; k < 3; ++k) mutated[random() % mutated.size()] = static_cast<char>(random());
      try {
        const Transcript found = read(name, mutated);
        EXPECT_FALSE(found.cues.empty());
        for (const Cue& cue : found.cues) EXPECT_LT(cue.begin, cue.end);
      } catch (const DataError&) {
      }
    }
  }
}

}  // namespace
}  // namespace ttsft
