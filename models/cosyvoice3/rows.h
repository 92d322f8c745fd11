// A row of the prepared set: upstream's columns, but for the recording itself.
//   id, audio, text, speaker, instruct, speech_token [m], utt_embedding [192]
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "models/cosyvoice3/config.h"

namespace ttsft::cosyvoice3 {

struct EncodedClip {
  std::vector<int64_t> codes;     // of the tokenizer, all below config.codes
  std::vector<double> embedding;  // as the network gives it, of any length
};

// speech_token and utt_embedding of a row. DataError names `where` and what is missing or outside
// the codebook.
EncodedClip read_encoded(const nlohmann::ordered_json& row, const LmConfig& config,
                         const std::string& where);
void write_encoded(nlohmann::ordered_json& row, const EncodedClip& clip);

}  // namespace ttsft::cosyvoice3
