// The parts that Hugging Face's tokenizer files share: JSON, a vocabulary, added tokens.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "added_tokens.h"

namespace ttsft {

// DataError names the file that cannot be read or is not a JSON object.
std::string read_tokenizer_file(const std::filesystem::path& file);
nlohmann::json read_tokenizer_json(const std::filesystem::path& file);

// One entry of added_tokens (tokenizer.json) or added_tokens_decoder (tokenizer_config.json).
AddedToken read_added_token(const nlohmann::json& entry, int64_t id,
                            const std::filesystem::path& file);
// `added_tokens` of a tokenizer.json; empty where the key is absent.
std::vector<AddedToken> read_added_token_list(const nlohmann::json& tokenizer,
                                              const std::filesystem::path& file);

// Token strings and their ids, one to one.
class Vocabulary {
 public:
  void read(const nlohmann::json& tokens, const std::filesystem::path& file);  // {"token": id}
  // DataError when the id is out of range, or token or id mean something else already.
  void set(const std::string& token, int64_t id, const std::filesystem::path& where);
  // As set(), for a token beside the vocabulary: its id may not lie far behind the others.
  void add(const AddedToken& token, const std::filesystem::path& where);

  int64_t id(std::string_view token) const;                                   // -1 when absent
  const std::string& token(int64_t id) const { return tokens_[size_t(id)]; }  // "" for a gap
  int64_t size() const { return int64_t(tokens_.size()); }                    // highest id + 1

 private:
  struct Hash : std::hash<std::string_view> {
    using is_transparent = void;
  };
  std::unordered_map<std::string, int64_t, Hash, std::equal_to<>> ids_;
  std::vector<std::string> tokens_;
};

}  // namespace ttsft
