// What the flags of synth ask for, checked before anything is loaded.
#pragma once

#include <string>
#include <vector>

#include "ttsft/synth/synth.h"

namespace ttsft {

// One wav to write.
struct SynthJob {
  std::string id;    // of a line in --texts; "" for a single text
  std::string text;  // "" with --codes-in
  std::filesystem::path out;
  std::filesystem::path codes_out;  // empty: not asked for
};

// UsageErrors for all that a flag can get wrong: combinations, values, places.
void check_flags(const SynthOptions& options);

// The wavs that the flags ask for. DataError: a file of texts that cannot be used, with its line.
std::vector<SynthJob> make_jobs(const SynthOptions& options);

// Lines of a --texts file as (id, text); a line without an id gets its number ("0007").
struct TextLine {
  std::string id, text;
};
std::vector<TextLine> read_texts(const std::filesystem::path& file);

}  // namespace ttsft
