// Readers for the formats that people have: one function, which looks at the source and says what it took it for.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "ttsft/data/utterance.h"

namespace ttsft {

struct ImportDefaults {
  std::string speaker;                // data.speaker
  std::filesystem::path reference;    // data.reference
  std::string instruct;               // data.instruct
};

struct ImportedSet {
  std::string format;  // "LJSpeech", "wav + txt", "JSONL", "Kaldi"
  std::vector<Utterance> utterances;    // in source order
  std::vector<RejectedRow> rejected;    // no text, no audio file, ...
};

// source: an LJSpeech folder or its metadata.csv (id|text or id|text|normalised text; the normalised one wins; wavs in
// wavs/ or beside the file), a folder of audio files with .txt or .lab of the same stem, a .jsonl, or a Kaldi folder
// (wav.scp, text, optional utt2spk, segments refused by name). DataError: nothing there, format unknown, duplicate ids
// (both places named), an empty set. A single row that cannot be used goes to `rejected`.
ImportedSet import_set(const std::filesystem::path& source, const ImportDefaults& defaults);

}  // namespace ttsft
