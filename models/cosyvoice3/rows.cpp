#include "models/cosyvoice3/rows.h"

#include "ttsft/core/error.h"

namespace ttsft::cosyvoice3 {
namespace {

constexpr size_t kEmbedding = 192;

template <typename Number>
std::vector<Number> numbers(const nlohmann::ordered_json& row, const char* key,
                            const std::string& where) {
  if (!row.contains(key) || !row[key].is_array() || row[key].empty())
    throw DataError(std::string("no ") + key, where, "run ttsft prep");
  std::vector<Number> values;
  for (const auto& value : row[key]) {
    if (!value.is_number())
      throw DataError(std::string("a value of ") + key + " is no number", where);
    values.push_back(value.get<Number>());
  }
  return values;
}

}  // namespace

EncodedClip read_encoded(const nlohmann::ordered_json& row, const LmConfig& config,
                         const std::string& where) {
  EncodedClip clip{numbers<int64_t>(row, "speech_token", where),
                   numbers<double>(row, "utt_embedding", where)};
  for (const int64_t code : clip.codes) {
    if (code < 0 || code >= config.codes)
      throw DataError("speech token " + std::to_string(code) + " is outside the codebook of " +
                          std::to_string(config.codes),
                      where, "the set was made with another tokenizer; prepare it anew");
  }
  if (clip.embedding.size() != kEmbedding)
    throw DataError("utt_embedding has " + std::to_string(clip.embedding.size()) +
                        " values instead of " + std::to_string(kEmbedding),
                    where, "prepare the set anew");
  return clip;
}

void write_encoded(nlohmann::ordered_json& row, const EncodedClip& clip) {
  row["speech_token"] = clip.codes;
  row["utt_embedding"] = clip.embedding;
}

}  // namespace ttsft::cosyvoice3
