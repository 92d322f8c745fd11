#include "tokenizer_files.h"

#include <fstream>
#include <iterator>
#include <limits>

#include "ttsft/core/error.h"

namespace ttsft {
namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

constexpr int64_t kMaxId = std::numeric_limits<int32_t>::max() - 1;

bool flag(const Json& entry, const char* name) {
  const auto it = entry.find(name);
  return it != entry.end() && it->is_boolean() && it->get<bool>();
}

}  // namespace

std::string read_tokenizer_file(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(in), {}};
  if (!in || in.bad()) {
    throw DataError("cannot read a tokenizer file", file.string(),
                    "copy it from the model's release");
  }
  return text;
}

Json read_tokenizer_json(const fs::path& file) {
  Json json = Json::parse(read_tokenizer_file(file), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) {
    throw DataError("not a JSON object", file.string(), "copy the file again from the release");
  }
  return json;
}

AddedToken read_added_token(const Json& entry, int64_t id, const fs::path& file) {
  const auto content = entry.is_object() ? entry.find("content") : entry.end();
  if (!entry.is_object() || content == entry.end() || !content->is_string() ||
      content->get_ref<const std::string&>().empty()) {
    throw DataError("added token " + std::to_string(id) + " has no content", file.string(),
                    "copy the file again from the release");
  }
  return {content->get<std::string>(), id,
          flag(entry, "lstrip"),       flag(entry, "rstrip"),
          flag(entry, "single_word"),  flag(entry, "normalized")};
}

std::vector<AddedToken> read_added_token_list(const Json& tokenizer, const fs::path& file) {
  std::vector<AddedToken> tokens;
  const auto list = tokenizer.find("added_tokens");
  if (list == tokenizer.end() || !list->is_array()) return tokens;
  for (const Json& entry : *list) {
    const auto id = entry.is_object() ? entry.find("id") : entry.end();
    if (!entry.is_object() || id == entry.end() || !id->is_number_integer()) {
      throw DataError("an entry of added_tokens has no id", file.string(),
                      "copy the file again from the release");
    }
    tokens.push_back(read_added_token(entry, id->get<int64_t>(), file));
  }
  return tokens;
}

void Vocabulary::read(const Json& tokens, const fs::path& file) {
  ids_.reserve(tokens.size() * 2);
  tokens_.reserve(tokens.size() + 64);
  for (const auto& [token, id] : tokens.items()) {
    if (!id.is_number_integer()) {
      throw DataError("token '" + token + "' has no integer id", file.string(),
                      "copy the file again from the release");
    }
    // Ids are dense up to a few gaps; a wild one would only cost memory.
    if (id.get<int64_t>() > int64_t(tokens.size()) * 16 + 1024) {
      throw DataError("token '" + token + "' has the id " + id.dump() + " in a vocabulary of " +
                          std::to_string(tokens.size()),
                      file.string(), "copy the file again from the release");
    }
    set(token, id.get<int64_t>(), file);
  }
}

void Vocabulary::set(const std::string& token, int64_t id, const fs::path& where) {
  if (id < 0 || id > kMaxId) {
    throw DataError("token '" + token + "' has the id " + std::to_string(id), where.string(),
                    "copy the file again from the release");
  }
  const auto [it, added] = ids_.emplace(token, id);
  const bool taken = size_t(id) < tokens_.size() && !tokens_[id].empty() && tokens_[id] != token;
  if ((!added && it->second != id) || taken) {
    const std::string other = taken ? "'" + tokens_[id] + "'" : std::to_string(it->second);
    throw DataError(
        "token '" + token + "' with id " + std::to_string(id) + " clashes with " + other,
        where.string(), "take all tokenizer files from one release");
  }
  if (size_t(id) >= tokens_.size()) tokens_.resize(id + 1);
  tokens_[id] = token;
}

void Vocabulary::add(const AddedToken& token, const fs::path& where) {
  if (token.id > size() + (1 << 20)) {  // specials follow the vocabulary
    throw DataError("token '" + token.content + "' has the id " + std::to_string(token.id) +
                        " in a vocabulary of " + std::to_string(size()),
                    where.string(), "take all tokenizer files from one release");
  }
  set(token.content, token.id, where);
}

int64_t Vocabulary::id(std::string_view token) const {
  const auto it = ids_.find(token);
  return it == ids_.end() ? -1 : it->second;
}

}  // namespace ttsft
