// The voices of a release: voice_embedding/NAME.pt, one bfloat16 tensor [N, dim] that torch.save
// wrote. Its rows take the places of [AUDIO] in the prompt; the last one says that the voice ends.
// Upstream: vllm-omni, voxtral_tts.py; mistral-common, which counts the rows in tekken.json.
#pragma once

#include <torch/torch.h>

#include <filesystem>
#include <string>
#include <vector>

#include "models/voxtral/config.h"
#include "models/voxtral/modules.h"

namespace ttsft::voxtral {

// By their numbers in params.json.
std::vector<std::string> voice_names(const Config& config);

// [N, D], float32. UsageError: the release has no such voice (those it has are listed). DataError:
// the file is missing or damaged, of another width, or of another count than tekken.json's.
torch::Tensor read_voice(const std::filesystem::path& checkpoint, const Config& config,
                         const std::string& name);

// What the language model hears of a recording's codes [N, 37]: their rows, and the one that ends
// them. [N + 1, D] in the type of the model, or of its table of codebooks.
torch::Tensor voice_rows(Lm& lm, const torch::Tensor& codes);
torch::Tensor voice_rows(const torch::Tensor& table, const torch::Tensor& codes,
                         const Config& config);

// A voice that upstream serves: the file, and its name in the checkpoint's two lists (all of it
// written anew; nothing else in them changes). UsageError: the name is none that upstream can ask
// for, or the release's own.
void check_voice_name(const Config& config, const std::string& name);
void write_voice(const std::filesystem::path& base, const std::filesystem::path& out,
                 const std::string& name, const torch::Tensor& rows);

// Codes behind a preset's rows. Each row is a sum of one table row per codebook, rounded to
// bfloat16; what it is the sum of is found by least squares and then code by code.
struct RecoveredCodes {
  torch::Tensor codes;     // [N, 37], without the row that ends the voice
  torch::Tensor residual;  // [N], of the row's own length
  bool exact = false;      // every row is what its codes add up to, but for the rounding
};
// For all voices of a table: what depends on it alone is worked out once.
class CodeRecovery {
 public:
  CodeRecovery(const torch::Tensor& table, const Config& config);  // [rows of all codebooks, D]
  RecoveredCodes operator()(const torch::Tensor& rows) const;      // [N + 1, D]

 private:
  torch::Tensor beside(const torch::Tensor& x) const;

  int64_t codebooks_, entries_;        // acoustic ones, and rows of each
  torch::Tensor semantic_, acoustic_;  // [8192, D], [36 * 23, D]
  torch::Tensor span_;                 // [R, D], of the acoustic rows
  torch::Tensor semantic_beside_, inverse_;
};
// Of the weights of a checkpoint.
CodeRecovery code_recovery(const std::filesystem::path& checkpoint, const Config& config);
inline RecoveredCodes recover_codes(const torch::Tensor& rows, const torch::Tensor& table,
                                    const Config& config) {
  return CodeRecovery(table, config)(rows);
}

}  // namespace ttsft::voxtral
