// Readers for the formats that people have: one function, which looks at the source and says what
// it took it for.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "ttsft/config/run_config.h"
#include "ttsft/data/utterance.h"

namespace ttsft {

struct ImportDefaults {
  std::string speaker;        // data.speaker
  ReferenceChoice reference;  // data.reference
  std::string instruct;       // data.instruct
  // Fields that say that upstream's tools encoded the row: it needs neither recording nor text.
  std::vector<std::string> encoded_keys = {"audio_codes"};
  // data.columns: what the columns of a table are, in words (docs/prep.md); empty: as a line of
  // names says, or as all rows show.
  std::vector<std::string> columns{};
};

struct ImportedSet {
  std::string format;                 // "LJSpeech", "wav + txt", "JSONL", "Kaldi"
  std::vector<Utterance> utterances;  // in source order
  std::vector<RejectedRow> rejected;  // no text, no audio file, ...
};

// source is one of
//   LJSpeech   a folder with metadata.csv, or a table (.csv, .tsv, .txt) of columns between |, tabs
//              or commas: as data.columns or a first line of names says, else id|text, and
//              id|text|normalised where the third column is a reading of the second in all rows;
//              the normalised one wins. The recording is "x", "x.wav" or "wavs/x.wav", in wavs/,
//              clips/ or beside the file
//   wav + txt  a folder of audio files with .normalized.txt, .txt or .lab of the same stem;
//              sub-folders, however deep, are those of the speaker whose name the first one has
//              A .npy of the same stem becomes the row's npy, for a model that reads it: codes that
//              its upstream's tools made
//   JSONL      audio | audio_filepath | wav | path; text | transcript | sentence; id |
//   utterance_id;
//              speaker | spk; language; instruct; ref_audio | reference; other fields are kept
//   JSONL manifests  a folder with train_manifest.jsonl and perhaps val_manifest.jsonl, both in
//   that
//              form, as preparation tools leave them beside their arrays
//   torch cache  a folder of .pt files, one per clip, as upstream's trainers cache them: rows
//              {"cache": file}
//   .list      a table of path|speaker|language|text, as GPT-SoVITS and Bert-VITS2 have it
//   audiofolder  a folder with metadata.csv or metadata.jsonl whose file_name is relative to it;
//              or folders of these in one folder, whose names are speakers unless they are those of
//              a split (train, test, ...)
//   parquet    a .parquet file, or a folder of them or of a folder data/ with them: a column of
//              recordings (bytes, as Hugging Face's datasets have them, or paths) and of texts
//   Kaldi      a folder with wav.scp, text and optionally segments, utt2spk and instruct; commands
//              are refused. utt2speech_token.pt and utt2embedding.pt, as CosyVoice's tools leave
//              them, become the rows' speech_token and utt_embedding, for a model that reads these
//   parquet shards  a folder with data.list, a shard a line: utt, text, spk, instruct, wav,
//              speech_token, utt_embedding
//   .protos    such a file or a folder of them: Fish Speech's packed sets; the rows' codes are
//              [10, frames], their ids are made of the file's name and a number
// Paths in a source: the working directory if the file is there, else the source's folder.
//
// DataError: nothing there, format unknown, columns that nothing explains, no usable row.
// UsageError: data.reference is not there. A single row that cannot be used goes to `rejected`
// under the guard audio_missing (also for its reference), text_empty or row_malformed (also for an
// id that an earlier row has).
ImportedSet import_set(const std::filesystem::path& source, const ImportDefaults& defaults);

// Several sources as one set. Ids that stand in more than one begin with their source's name.
// On top of the above, over all rows. DataError: two speakers whose names differ in case alone, a
// recording that is the voice of two speakers. UsageError: data.reference is one recording and
// there are several speakers, or names one that is not there.
ImportedSet import_sources(const std::vector<std::filesystem::path>& sources,
                           const ImportDefaults& defaults);

// data.reference for a speaker, whatever the case of the name; empty when it has none.
std::filesystem::path reference_of(const ReferenceChoice& choice, const std::string& speaker);

}  // namespace ttsft
