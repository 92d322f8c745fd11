#include "ttsft/text/bpe.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>
#include <unordered_map>

#include "added_tokens.h"
#include "bpe_merges.h"
#include "bpe_pattern.h"
#include "ttsft/core/error.h"
#include "ttsft/text/split.h"
#include "utf8.h"

namespace ttsft {
namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

constexpr int64_t kMaxId = std::numeric_limits<int32_t>::max() - 1;

std::string read_file(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(in), {}};
  if (!in || in.bad()) {
    throw DataError("cannot read a tokenizer file", file.string(),
                    "copy it from the model's release");
  }
  return text;
}

Json read_json(const fs::path& file) {
  Json json = Json::parse(read_file(file), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) {
    throw DataError("not a JSON object", file.string(), "copy the file again from the release");
  }
  return json;
}

// GPT-2's letters for bytes: printable Latin-1 stands for itself, the other 68 follow from U+0100
// on.
std::array<int32_t, 256> byte_letters() {
  std::array<int32_t, 256> letters{};
  int32_t next = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte != 0xad);
    letters[byte] = printable ? byte : next++;
  }
  return letters;
}

std::string utf8_of(int32_t letter) {  // below U+0800
  if (letter < 0x80) return std::string(1, char(letter));
  return {char(0xc0 | (letter >> 6)), char(0x80 | (letter & 0x3f))};
}

bool flag(const Json& entry, const char* name) {
  const auto it = entry.find(name);
  return it != entry.end() && it->is_boolean() && it->get<bool>();
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

int64_t parse_id(const std::string& text, const fs::path& file) {
  if (text.empty() || text.size() > 10 ||
      !std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; })) {
    throw DataError("added_tokens_decoder has the key '" + text + "', which is not an id",
                    file.string(), "copy the file again from the release");
  }
  return std::stoll(text);
}

// added_tokens_decoder of tokenizer_config.json; where it is absent or empty, added_tokens of
// tokenizer.json.
std::vector<AddedToken> read_added_tokens(const fs::path& folder) {
  std::vector<AddedToken> tokens;
  const fs::path config = folder / "tokenizer_config.json", whole = folder / "tokenizer.json";
  if (!fs::exists(config) && !fs::exists(whole)) {
    throw DataError("tokenizer_config.json is missing", folder.string(),
                    "copy it from the release: it lists the special tokens");
  }
  if (fs::exists(config)) {
    const Json json = read_json(config);
    if (const auto it = json.find("added_tokens_decoder"); it != json.end() && it->is_object()) {
      for (const auto& [key, entry] : it->items()) {
        tokens.push_back(read_added_token(entry, parse_id(key, config), config));
      }
    }
  }
  if (tokens.empty() && fs::exists(whole)) {
    const Json json = read_json(whole);
    if (const auto it = json.find("added_tokens"); it != json.end() && it->is_array()) {
      for (const Json& entry : *it) {
        const auto id = entry.is_object() ? entry.find("id") : entry.end();
        if (!entry.is_object() || id == entry.end() || !id->is_number_integer()) {
          throw DataError("an entry of added_tokens has no id", whole.string(),
                          "copy the file again from the release");
        }
        tokens.push_back(read_added_token(entry, id->get<int64_t>(), whole));
      }
    }
  }
  return tokens;
}

}  // namespace

struct Bpe::Impl {
  explicit Impl(std::string_view split_pattern) : pattern(split_pattern) {}

  void read_vocabulary(const fs::path& file);
  void read_merges(const fs::path& file);
  void add(const AddedToken& token, const fs::path& folder);
  void set_token(const std::string& token, int64_t id, const fs::path& where);
  void encode_ordinary(std::string_view text, std::vector<int64_t>& ids) const;

  BpePattern pattern;
  BpeMerges merges;
  std::unordered_map<std::string, int64_t> ids;
  std::vector<std::string> tokens;            // by id; "" where the vocabulary has a gap
  std::array<int32_t, 256> byte_id{};         // -1: the vocabulary lacks the byte
  std::unordered_map<int32_t, char> byte_of;  // by letter
  AddedTokenMatcher raw_tokens, normalized_tokens;
};

void Bpe::Impl::set_token(const std::string& token, int64_t id, const fs::path& where) {
  if (id < 0 || id > kMaxId) {
    throw DataError("token '" + token + "' has the id " + std::to_string(id), where.string(),
                    "copy the file again from the release");
  }
  const auto [it, added] = ids.emplace(token, id);
  const bool taken = size_t(id) < tokens.size() && !tokens[id].empty() && tokens[id] != token;
  if ((!added && it->second != id) || taken) {
    const std::string other = taken ? "'" + tokens[id] + "'" : std::to_string(it->second);
    throw DataError(
        "token '" + token + "' with id " + std::to_string(id) + " clashes with " + other,
        where.string(), "take all tokenizer files from one release");
  }
  if (size_t(id) >= tokens.size()) tokens.resize(id + 1);
  tokens[id] = token;
}

void Bpe::Impl::read_vocabulary(const fs::path& file) {
  const Json json = read_json(file);
  ids.reserve(json.size() * 2);
  tokens.reserve(json.size() + 64);
  for (const auto& [token, id] : json.items()) {
    if (!id.is_number_integer()) {
      throw DataError("token '" + token + "' has no integer id", file.string(),
                      "copy the file again from the release");
    }
    // Ids are dense up to a few gaps; a wild one would only cost memory.
    if (id.get<int64_t>() > int64_t(json.size()) * 16 + 1024) {
      throw DataError("token '" + token + "' has the id " + id.dump() + " in a vocabulary of " +
                          std::to_string(json.size()),
                      file.string(), "copy the file again from the release");
    }
    set_token(token, id.get<int64_t>(), file);
  }
  const auto letters = byte_letters();
  for (int byte = 0; byte < 256; ++byte) {
    const auto it = ids.find(utf8_of(letters[byte]));
    byte_id[byte] = it == ids.end() ? -1 : int32_t(it->second);
    byte_of[letters[byte]] = char(byte);
  }
}

void Bpe::Impl::read_merges(const fs::path& file) {
  const std::string text = read_file(file);
  std::istringstream lines(text);
  std::string line;
  int32_t rank = 0;
  merges.reserve(size_t(std::count(text.begin(), text.end(), '\n')));
  for (int64_t number = 1; std::getline(lines, line); ++number) {
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
    if (line.empty() || (number == 1 && line.starts_with("#version"))) continue;
    const std::string where = file.string() + ":" + std::to_string(number);
    const size_t space = line.find(' ');
    if (space == std::string::npos || space == 0 ||
        line.find(' ', space + 1) != std::string::npos) {
      throw DataError("not two symbols", where, "copy the file again from the release");
    }
    const std::string left = line.substr(0, space), right = line.substr(space + 1);
    const auto known = [&](const std::string& token) {
      const auto it = ids.find(token);
      if (it == ids.end()) {
        throw DataError(
            "merge of '" + left + "' and '" + right + "': '" + token + "' is not in vocab.json",
            where, "take vocab.json and merges.txt from one release");
      }
      return int32_t(it->second);
    };
    merges.add(known(left), known(right), rank++, known(left + right));
  }
}

void Bpe::Impl::add(const AddedToken& token, const fs::path& folder) {
  if (token.id > int64_t(tokens.size()) + (1 << 20)) {  // specials follow the vocabulary
    throw DataError("token '" + token.content + "' has the id " + std::to_string(token.id) +
                        " in a vocabulary of " + std::to_string(tokens.size()),
                    folder.string(), "take all tokenizer files from one release");
  }
  set_token(token.content, token.id, folder);
  if (!token.normalized) {
    raw_tokens.add(token);
    return;
  }
  AddedToken normalized = token;
  normalized.content = to_nfc(token.content);
  normalized_tokens.add(normalized);
}

Bpe::Bpe(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Bpe::~Bpe() = default;
Bpe::Bpe(Bpe&&) noexcept = default;
Bpe& Bpe::operator=(Bpe&&) noexcept = default;

Bpe Bpe::from_folder(const fs::path& folder, std::string_view split_pattern) {
  auto impl = std::make_unique<Impl>(split_pattern);
  impl->read_vocabulary(folder / "vocab.json");
  impl->read_merges(folder / "merges.txt");
  for (const AddedToken& token : read_added_tokens(folder)) impl->add(token, folder);
  return Bpe(std::move(impl));
}

void Bpe::Impl::encode_ordinary(std::string_view text, std::vector<int64_t>& out) const {
  std::vector<int32_t> symbols;
  for (const std::string_view piece : pattern.split(text)) {
    symbols.clear();
    for (const char c : piece) {
      const int32_t id = byte_id[uint8_t(c)];
      if (id < 0) {
        throw DataError("the vocabulary has no token for byte " + std::to_string(uint8_t(c)),
                        "text '" + std::string(piece) + "'",
                        "this checkpoint cannot say it: take it out of the text");
      }
      symbols.push_back(id);
    }
    merges.apply(symbols);
    out.insert(out.end(), symbols.begin(), symbols.end());
  }
}

std::vector<int64_t> Bpe::encode(std::string_view utf8) const {
  require_valid_utf8(utf8);
  std::vector<int64_t> out;
  for (const TextSpan& raw : impl_->raw_tokens.cut(utf8)) {
    if (raw.id) {
      out.push_back(*raw.id);
      continue;
    }
    const std::string normalized = to_nfc(raw.text);
    for (const TextSpan& span : impl_->normalized_tokens.cut(normalized)) {
      if (span.id) {
        out.push_back(*span.id);
      } else {
        impl_->encode_ordinary(span.text, out);
      }
    }
  }
  return out;
}

std::string Bpe::decode(std::span<const int64_t> token_ids) const {
  std::string bytes;
  for (const int64_t id : token_ids) {
    if (id < 0 || id >= size() || impl_->tokens[id].empty()) {
      throw DataError("token id " + std::to_string(id) + " is not in the vocabulary", {},
                      "ids below " + std::to_string(size()) + " are known");
    }
    const std::string& token = impl_->tokens[id];
    std::string decoded;
    bool letters = true;
    for (size_t offset = 0; letters && offset < token.size();) {
      const auto it = impl_->byte_of.find(next_code_point(token, offset));
      letters = it != impl_->byte_of.end();
      if (letters) decoded += it->second;
    }
    bytes +=
        letters ? decoded : token;  // an added token may hold characters that are no byte letters
  }
  return replace_invalid_utf8(bytes);
}

int64_t Bpe::id(std::string_view token) const {
  const auto it = impl_->ids.find(std::string(token));
  return it == impl_->ids.end() ? -1 : it->second;
}

int64_t Bpe::size() const {
  return int64_t(impl_->tokens.size());
}

}  // namespace ttsft
