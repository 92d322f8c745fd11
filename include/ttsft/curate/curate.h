// Long recordings to a table of clips that prep takes: speech is found, cut at pauses, given its
// text and its speaker; what is not fit to learn from is set aside with the reason.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace ttsft {

struct CurateOptions {
  std::vector<std::filesystem::path> recordings;  // files, and folders however deep
  std::filesystem::path out;
  std::filesystem::path transcripts;      // a folder, or a file where there is one recording
  std::filesystem::path speaker_encoder;  // judge/speaker_encoder.h; empty: the one setup fetched
  std::string speaker;                    // the name of who speaks most
  std::filesystem::path voice;            // a clip of that speaker, where another speaks more
  int speakers = 1;                       // that are kept, by how much they speak
  double min_seconds = 2, max_seconds = 15;  // of a clip
  double pause = 0.4;                        // seconds; speech is cut at such pauses
  double margin = 0.15;                      // seconds of the pause that stay on both sides
  double min_confidence = 0.37;              // exp(-1), below which Whisper doubts itself
  std::string device = "auto";
  bool dry_run = false;
};

// Writes into options.out:
//   metadata.csv   file_name, text, speaker, confidence, recording, start, end, speech_start,
//                  speech_end (seconds in the recording); rows of an earlier call stay as they are
//   wavs/, aside/  the clips: mono, 16 bit, at the recording's rate, at one level; and those set
//                  aside that can be heard
//   dropped.jsonl  a line for each stretch that is not in the table: recording, start, end, reason
//   review.html    to listen, read and correct
//   .curate/       what was found in each recording: a second call takes only what is new
// Result: counts, minutes, speakers, reasons. UsageError: no recording, nothing that tells the
// texts, other settings than the last call's. DataError: no recording could be used.
nlohmann::ordered_json run_curate(const CurateOptions& options);

std::string describe_curate(const nlohmann::ordered_json& result);

}  // namespace ttsft
