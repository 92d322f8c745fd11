#include "src/curate/cut.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ttsft {
namespace {

using ::testing::ElementsAre;

constexpr double kAnySame = -1;

Cue cue(double begin, double end, const std::string& text, const std::string& speaker = "") {
  Cue made;
  made.begin = begin;
  made.end = end;
  made.text = text;
  made.speaker = speaker;
  return made;
}

// "2.00-5.00" of the speech, and the problem where there is one.
std::vector<std::string> shown(const std::vector<Cut>& cuts) {
  std::vector<std::string> all;
  for (const Cut& cut : cuts) {
    char text[64];
    std::snprintf(text, sizeof text, "%.2f-%.2f", cut.speech_begin, cut.speech_end);
    all.push_back(text + (cut.problem.empty() ? "" : " " + cut.problem));
  }
  return all;
}

std::vector<std::string> cuts_of(const std::vector<SpeechSpan>& speech, double seconds,
                                 const CutOptions& options = {}) {
  return shown(plan_cuts(atoms_of(speech), seconds, options, kAnySame));
}

TEST(PlanCuts, PartsAtPausesAndKeepsShortOnesInside) {
  EXPECT_THAT(cuts_of({{1, 4}, {4.25, 7}, {7.6, 10}}, 12), ElementsAre("1.00-7.00", "7.60-10.00"));
}

TEST(PlanCuts, WhatIsShortGoesToANeighbourOrIsSaid) {
  EXPECT_THAT(cuts_of({{1, 4}, {4.6, 5.2}, {8, 11}}, 12), ElementsAre("1.00-5.20", "8.00-11.00"));
  EXPECT_THAT(cuts_of({{1, 4}, {5.5, 6.1}, {8, 11}}, 12),
              ElementsAre("1.00-4.00", "5.50-6.10 short", "8.00-11.00"));
}

TEST(PlanCuts, LongSpeechIsCutAtItsLongestPauses) {
  // 24 s without a pause of 0.4 s: the one of 0.35 s is the better place of the two.
  EXPECT_THAT(cuts_of({{0, 10}, {10.22, 12}, {12.35, 24}}, 24),
              ElementsAre("0.00-12.00", "12.35-24.00"));
  EXPECT_THAT(cuts_of({{0, 10}, {10.1, 24}}, 24), ElementsAre("0.00-24.00 long"))
      << "a tenth of a second may lie inside a word";
}

TEST(PlanCuts, MarginsAreOfThePauseAndEndInItsMiddle) {
  const auto cuts = plan_cuts(atoms_of(std::vector<SpeechSpan>{{0.05, 4}, {4.2, 8}, {9, 13}}), 13.1,
                              {.max_seconds = 6}, kAnySame);
  ASSERT_EQ(cuts.size(), 3u);
  EXPECT_DOUBLE_EQ(cuts[0].begin, 0);
  EXPECT_NEAR(cuts[0].end, 4.1, 1e-9);
  EXPECT_NEAR(cuts[1].begin, 4.1, 1e-9);
  EXPECT_NEAR(cuts[1].end, 8.15, 1e-9);
  EXPECT_NEAR(cuts[2].begin, 8.85, 1e-9);
  EXPECT_NEAR(cuts[2].end, 13.1, 1e-9);
}

TEST(PlanCuts, VoicesThatDifferShareNoClip) {
  std::vector<Atom> atoms = atoms_of(std::vector<SpeechSpan>{{0, 3}, {3.15, 6}, {6.25, 9}});
  atoms[0].voice = {1, 0};
  atoms[1].voice = {0, 1};
  atoms[2].voice = {0, 1};
  EXPECT_THAT(shown(plan_cuts(atoms, 9, {}, 0.6)), ElementsAre("0.00-3.00", "3.15-9.00"));
  EXPECT_THAT(shown(plan_cuts(atoms, 9, {}, kAnySame)), ElementsAre("0.00-9.00"));
}

TEST(PlanCuts, SentencesStayWhole) {
  // No pause parts them by its length.
  const std::vector<SpeechSpan> speech = {{0, 4}, {4.3, 8}, {8.3, 12}, {12.3, 16}};
  const auto atoms = atoms_of(speech, {cue(0, 4, "He said"), cue(4.3, 8, "that it rains."),
                                       cue(8.3, 12, "She did not"), cue(12.3, 16, "believe him.")});
  ASSERT_EQ(atoms.size(), 4u);
  const auto cuts = plan_cuts(atoms, 16, {.max_seconds = 12.5}, kAnySame);
  EXPECT_THAT(shown(cuts), ElementsAre("0.00-8.00", "8.30-16.00"));
  EXPECT_EQ(cuts[0].text, "He said that it rains.");
  EXPECT_EQ(cuts[1].text, "She did not believe him.");
}

TEST(CueAtoms, SpeechAndCuesThatNoPausePartsBelongTogether) {
  // The second span begins in the first cue and ends in the second: both are said in it.
  const auto atoms =
      atoms_of({{0, 2}, {2.5, 6}}, {cue(0, 4, "one two"), cue(4, 6.2, "three four")});
  ASSERT_EQ(atoms.size(), 1u);
  EXPECT_EQ(atoms[0].text, "one two three four");
  EXPECT_EQ(atoms[0].begin, 0);
  EXPECT_EQ(atoms[0].end, 6);
}

TEST(CueAtoms, CuesThatAreALittleOffStillFindTheirSpeech) {
  const auto atoms = atoms_of({{1, 3}, {4, 6}}, {cue(0.8, 3.25, "one"), cue(3.75, 5.8, "two")});
  ASSERT_EQ(atoms.size(), 2u);
  EXPECT_EQ(atoms[0].text, "one");
  EXPECT_EQ(atoms[1].text, "two");
  EXPECT_EQ(atoms[1].begin, 4) << "the speech tells where it is, not the cue";
}

TEST(CueAtoms, WhatHasNoPartnerIsSaid) {
  const auto atoms = atoms_of({{0, 2}, {10, 13}, {20, 26}}, {cue(0, 2, "told"), cue(5, 7, "silent"),
                                                             cue(20, 22, "only the beginning")});
  ASSERT_EQ(atoms.size(), 4u);
  EXPECT_EQ(atoms[0].problem, "");
  EXPECT_EQ(atoms[1].problem, "no_speech");
  EXPECT_EQ(atoms[2].problem, "no_text");
  EXPECT_EQ(atoms[3].problem, "partial_text");
}

TEST(CueAtoms, TwoSpeakersWithoutAPauseAreNoClip) {
  const auto atoms = atoms_of({{0, 5}}, {cue(0, 2.4, "Yes.", "anna"), cue(2.4, 5, "No.", "boris")});
  ASSERT_EQ(atoms.size(), 1u);
  EXPECT_EQ(atoms[0].problem, "two_speakers");
}

TEST(CueAtoms, SpeakersOfTheTranscriptPartClips) {
  const auto atoms =
      atoms_of({{0, 3}, {3.3, 6}}, {cue(0, 3, "Yes.", "anna"), cue(3.3, 6, "No.", "boris")});
  const auto cuts = plan_cuts(atoms, 6, {}, kAnySame);
  ASSERT_EQ(cuts.size(), 2u);
  EXPECT_EQ(cuts[0].speaker, "anna");
  EXPECT_EQ(cuts[1].speaker, "boris");
}

TEST(CueAtoms, WordsAreJoinedAsTheyWereWritten) {
  std::vector<Cue> words = {cue(0, 0.4, "One"), cue(0.5, 1, "two,"), cue(1.6, 2.2, "three.")};
  for (Cue& word : words) word.is_word = true;
  const auto atoms = atoms_of({{0, 1}, {1.6, 2.2}}, words);
  ASSERT_EQ(atoms.size(), 2u);
  EXPECT_EQ(atoms[0].text, "One two,");
  EXPECT_EQ(atoms[1].text, "three.");
}

TEST(PlanCuts, AnHourOfAtomsTakesNoTime) {
  std::vector<SpeechSpan> speech;
  for (int i = 0; i < 3000; ++i) speech.push_back({i * 1.2, i * 1.2 + 0.85});
  std::vector<Cue> cues;
  for (const SpeechSpan& span : speech) cues.push_back(cue(span.begin, span.end, "word"));
  const auto cuts = plan_cuts(atoms_of(speech, cues), 3600, {}, kAnySame);
  size_t atoms = 0;
  for (const Cut& cut : cuts) {
    EXPECT_EQ(cut.first, atoms);
    atoms = cut.last;
    EXPECT_EQ(cut.problem, "");
  }
  EXPECT_EQ(atoms, 3000u);
}

}  // namespace
}  // namespace ttsft
