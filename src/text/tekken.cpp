#include "ttsft/text/tekken.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <unordered_map>

#include "bpe_merges.h"
#include "bpe_pattern.h"
#include "tokenizer_files.h"
#include "ttsft/core/error.h"
#include "ttsft/text/split_patterns.h"
#include "utf8.h"

namespace ttsft {
namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

constexpr const char* kRemedy = "copy tekken.json again from the release";

// None of the libraries here reads base64 (RFC 4648); nothing for what is not.
std::optional<std::string> from_base64(std::string_view text) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  if (text.size() % 4 != 0) return std::nullopt;
  while (text.ends_with('=')) text.remove_suffix(1);
  std::string bytes;
  uint32_t held = 0, bits = 0;
  for (const char c : text) {
    const size_t digit = kDigits.find(c);
    if (digit == std::string_view::npos) return std::nullopt;
    held = (held << 6) | static_cast<uint32_t>(digit);
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    bytes += static_cast<char>((held >> bits) & 0xff);
  }
  return bytes;
}

struct TransparentHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};
using ByteRanks = std::unordered_map<std::string, int32_t, TransparentHash, std::equal_to<>>;

int64_t whole_number(const Json& object, const char* key, const fs::path& file) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number_integer() || found->get<int64_t>() < 0)
    throw DataError(std::string(key) + " is missing or no whole number", file.string(), kRemedy);
  return found->get<int64_t>();
}

const Json& member(const Json& object, const char* key, Json::value_t type, const fs::path& file) {
  const auto found = object.find(key);
  if (found == object.end() || found->type() != type)
    throw DataError(std::string(key) + " is missing", file.string(), kRemedy);
  return *found;
}

}  // namespace

struct Tekken::Impl {
  explicit Impl(std::string_view split_pattern) : pattern(split_pattern) {}

  void read_vocabulary(const Json& vocabulary, int64_t count, const fs::path& file);
  void read_special_tokens(const Json& tokens, const fs::path& file);
  void make_merges();
  void encode_piece(std::string_view piece, std::vector<int64_t>& ids) const;

  BpePattern pattern;
  ByteRanks ranks;
  std::array<int32_t, 256> byte_rank{};  // -1: the vocabulary lacks the byte
  BpeMerges merges;
  std::unordered_map<std::string, int64_t> specials;
  int64_t special_count = 0, size = 0;
};

void Tekken::Impl::read_vocabulary(const Json& vocabulary, int64_t count, const fs::path& file) {
  if (std::ssize(vocabulary) < count)
    throw DataError("the vocabulary has " + std::to_string(vocabulary.size()) + " entries of " +
                        std::to_string(count),
                    file.string(), kRemedy);
  byte_rank.fill(-1);
  ranks.reserve(static_cast<size_t>(count));
  for (int64_t rank = 0; rank < count; ++rank) {
    const Json& entry = vocabulary[static_cast<size_t>(rank)];
    const auto bytes =
        entry.is_object() && entry.contains("token_bytes") && entry["token_bytes"].is_string()
            ? from_base64(entry["token_bytes"].get_ref<const std::string&>())
            : std::nullopt;
    if (!bytes || bytes->empty() || entry.value("rank", rank) != rank)
      throw DataError("entry " + std::to_string(rank) + " of the vocabulary is damaged",
                      file.string(), kRemedy);
    if (bytes->size() == 1) byte_rank[static_cast<uint8_t>((*bytes)[0])] = int32_t(rank);
    ranks.emplace(*bytes, int32_t(rank));
  }
}

// Ranks that the file does not list are fillers that no text and no prompt spells.
void Tekken::Impl::read_special_tokens(const Json& tokens, const fs::path& file) {
  for (const Json& token : tokens) {
    const int64_t id = whole_number(token, "rank", file);
    if (id >= special_count || !token.contains("token_str") || !token["token_str"].is_string())
      throw DataError("special token " + std::to_string(id) + " is damaged", file.string(),
                      kRemedy);
    specials[token["token_str"].get<std::string>()] = id;
  }
}

// Every way to cut an entry into two entries is a merge of the entry's rank.
void Tekken::Impl::make_merges() {
  for (const auto& [bytes, rank] : ranks) {
    const std::string_view whole = bytes;
    for (size_t cut = 1; cut < whole.size(); ++cut) {
      const auto left = ranks.find(whole.substr(0, cut)), right = ranks.find(whole.substr(cut));
      if (left != ranks.end() && right != ranks.end())
        merges.add(left->second, right->second, rank, rank);
    }
  }
}

Tekken::Tekken(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Tekken::~Tekken() = default;
Tekken::Tekken(Tekken&&) noexcept = default;
Tekken& Tekken::operator=(Tekken&&) noexcept = default;

Tekken Tekken::from_file(const fs::path& file) {
  const Json json = read_tokenizer_json(file);
  const Json& config = member(json, "config", Json::value_t::object, file);
  const std::string pattern =
      member(config, "pattern", Json::value_t::string, file).get<std::string>();
  if (pattern != kMistralSplitPattern)
    throw DataError("the split pattern is another than Mistral's, and ids would differ",
                    file.string(), kRemedy);
  auto impl = std::make_unique<Impl>(pattern);
  impl->size = whole_number(config, "default_vocab_size", file);
  impl->special_count = whole_number(config, "default_num_special_tokens", file);
  if (impl->special_count > impl->size)
    throw DataError("default_vocab_size is below default_num_special_tokens", file.string(),
                    kRemedy);
  impl->read_vocabulary(member(json, "vocab", Json::value_t::array, file),
                        impl->size - impl->special_count, file);
  impl->read_special_tokens(member(json, "special_tokens", Json::value_t::array, file), file);
  impl->make_merges();
  return Tekken(std::move(impl));
}

void Tekken::Impl::encode_piece(std::string_view piece, std::vector<int64_t>& ids) const {
  if (const auto whole = ranks.find(piece); whole != ranks.end()) {
    ids.push_back(whole->second + special_count);
    return;
  }
  std::vector<int32_t> symbols;
  for (const char c : piece) {
    const int32_t rank = byte_rank[static_cast<uint8_t>(c)];
    if (rank < 0)
      throw DataError("the vocabulary has no token for byte " + std::to_string(uint8_t(c)),
                      "text '" + std::string(piece) + "'",
                      "this checkpoint cannot say it: take it out of the text");
    symbols.push_back(rank);
  }
  merges.apply(symbols);
  for (const int32_t rank : symbols) ids.push_back(rank + special_count);
}

std::vector<int64_t> Tekken::encode(std::string_view utf8) const {
  require_valid_utf8(utf8);
  std::vector<int64_t> ids;
  for (const std::string_view piece : impl_->pattern.split(utf8)) impl_->encode_piece(piece, ids);
  return ids;
}

int64_t Tekken::special(std::string_view token) const {
  const auto found = impl_->specials.find(std::string(token));
  return found == impl_->specials.end() ? -1 : found->second;
}

int64_t Tekken::size() const {
  return impl_->size;
}

}  // namespace ttsft
