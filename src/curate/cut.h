// Where speech is cut into clips. Plain numbers: no audio, no network.
#pragma once

#include <string>
#include <vector>

#include "ttsft/data/transcripts.h"
#include "ttsft/judge/voice_activity.h"

namespace ttsft {

struct CutOptions {
  double min_seconds = 2, max_seconds = 15;  // of a clip, margins included
  double pause = 0.4;                        // pauses that long part clips
  double margin = 0.15;
};

// Speech that is not cut further: between two pauses, with the text that belongs to it.
struct Atom {
  double begin = 0, end = 0;  // seconds; of the speech
  std::string text, speaker;  // of a transcript; empty without one
  bool ends_sentence = true;
  std::string problem, message;  // why it cannot be used
  std::vector<float> voice;      // empty: not known
};

// A clip: atoms [first, last).
struct Cut {
  size_t first = 0, last = 0;
  double begin = 0, end = 0;                // seconds; of the clip
  double speech_begin = 0, speech_end = 0;  // of the speech in it
  std::string text, speaker;
  std::string problem, message;  // "short", "long", or an atom's
};

// Speech without a transcript: each span an atom.
std::vector<Atom> atoms_of(const std::vector<SpeechSpan>& speech);

// Spans and the cues that were said in them, as much of both as no pause parts. Problems: no_text
// (speech that no cue covers), partial_text (a stretch of it), no_speech (a cue without speech),
// two_speakers.
std::vector<Atom> atoms_of(const std::vector<SpeechSpan>& speech, const std::vector<Cue>& cues);

// The cheapest way to part the atoms, by dynamic programming: at pauses, at the ends of sentences,
// no clip longer or shorter than wanted. A pause below 0.2 s is none: it may be a consonant's.
// `same_voice` is the dot product above which two atoms' voices may share a clip. Sentences count
// where the texts have full stops. In order; every atom is in one cut.
std::vector<Cut> plan_cuts(const std::vector<Atom>& atoms, double seconds,
                           const CutOptions& options, double same_voice);

}  // namespace ttsft
