#include "ttsft/text/bpe.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <sstream>
#include <unordered_map>

#include "bpe_merges.h"
#include "bpe_pattern.h"
#include "tokenizer_files.h"
#include "tokenizer_json.h"
#include "ttsft/core/error.h"
#include "ttsft/text/split.h"
#include "utf8.h"

namespace ttsft {
namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

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
    const Json json = read_tokenizer_json(config);
    if (const auto it = json.find("added_tokens_decoder"); it != json.end() && it->is_object()) {
      for (const auto& [key, entry] : it->items()) {
        tokens.push_back(read_added_token(entry, parse_id(key, config), config));
      }
    }
  }
  if (tokens.empty() && fs::exists(whole)) {
    tokens = read_added_token_list(read_tokenizer_json(whole), whole);
  }
  return tokens;
}

// A Split by a pattern, then bytes as letters; or bytes as letters alone, which split as GPT-2 did.
std::string split_pattern_of(const Json& tokenizer, const fs::path& file) {
  const Json& splitter = tokenizer_member(tokenizer, "pre_tokenizer");
  const auto fail = [&]() { refuse_tokenizer("pre_tokenizer", splitter, file); };
  if (splitter.is_object() && tokenizer_member(splitter, "type") == "ByteLevel") {
    require_off(splitter, {"add_prefix_space"}, file);
    if (tokenizer_member(splitter, "use_regex") == false) fail();
    return std::string(kGpt2SplitPattern);
  }
  if (!splitter.is_object() || tokenizer_member(splitter, "type") != "Sequence") fail();
  const Json& parts = tokenizer_member(splitter, "pretokenizers");
  if (!parts.is_array() || parts.size() != 2 || !parts[0].is_object() || !parts[1].is_object())
    fail();
  const Json &split = parts[0], &bytes = parts[1];
  const Json& pattern = tokenizer_member(split, "pattern");
  if (tokenizer_member(split, "type") != "Split" ||
      tokenizer_member(split, "behavior") != "Isolated" ||
      tokenizer_member(bytes, "type") != "ByteLevel" || !pattern.is_object() ||
      !tokenizer_member(pattern, "Regex").is_string())
    fail();
  require_off(split, {"invert"}, file);
  require_off(bytes, {"add_prefix_space", "use_regex"}, file);
  return tokenizer_member(pattern, "Regex").get<std::string>();
}

}  // namespace

struct Bpe::Impl {
  explicit Impl(std::string_view split_pattern, bool nfc = true)
      : pattern(split_pattern), added(nfc ? to_nfc : nullptr) {}

  void read_vocabulary(const Json& tokens, const fs::path& file);
  void read_merges(const fs::path& file);
  void encode_ordinary(std::string_view text, std::vector<int64_t>& ids) const;

  BpePattern pattern;
  BpeMerges merges;
  Vocabulary vocabulary;
  std::array<int32_t, 256> byte_id{};         // -1: the vocabulary lacks the byte
  std::unordered_map<int32_t, char> byte_of;  // by letter
  AddedTokens added;
};

void Bpe::Impl::read_vocabulary(const Json& tokens, const fs::path& file) {
  vocabulary.read(tokens, file);
  const auto letters = byte_letters();
  for (int byte = 0; byte < 256; ++byte) {
    byte_id[byte] = int32_t(vocabulary.id(utf8_of(letters[byte])));
    byte_of[letters[byte]] = char(byte);
  }
}

void Bpe::Impl::read_merges(const fs::path& file) {
  const std::string text = read_tokenizer_file(file);
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
      const int64_t id = vocabulary.id(token);
      if (id < 0) {
        throw DataError(
            "merge of '" + left + "' and '" + right + "': '" + token + "' is not in vocab.json",
            where, "take vocab.json and merges.txt from one release");
      }
      return int32_t(id);
    };
    merges.add(known(left), known(right), rank++, known(left + right));
  }
}

Bpe::Bpe(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Bpe::~Bpe() = default;
Bpe::Bpe(Bpe&&) noexcept = default;
Bpe& Bpe::operator=(Bpe&&) noexcept = default;

Bpe Bpe::from_folder(const fs::path& folder, std::string_view split_pattern,
                     std::span<const std::string> specials) {
  auto impl = std::make_unique<Impl>(split_pattern);
  const fs::path vocabulary = folder / "vocab.json";
  impl->read_vocabulary(read_tokenizer_json(vocabulary), vocabulary);
  impl->read_merges(folder / "merges.txt");
  for (const AddedToken& token : read_added_tokens(folder)) {
    impl->vocabulary.add(token, folder);
    impl->added.add(token);
  }
  for (const std::string& text : specials) {
    if (impl->vocabulary.id(text) >= 0) continue;
    AddedToken token;
    token.content = text;
    token.id = impl->vocabulary.size();
    impl->vocabulary.add(token, folder);
    impl->added.add(token);
  }
  return Bpe(std::move(impl));
}

Bpe Bpe::from_tokenizer(const fs::path& file) {
  const Json json = read_tokenizer_json(file);
  const Json& model = bpe_model(json, file);
  require_off(model,
              {"dropout", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk",
               "byte_fallback", "ignore_merges"},
              file);
  const Json& normalizer = tokenizer_member(json, "normalizer");
  const bool nfc = normalizer.is_object() && tokenizer_member(normalizer, "type") == "NFC";
  if (!nfc && !normalizer.is_null()) refuse_tokenizer("normalizer", normalizer, file);
  auto impl = std::make_unique<Impl>(split_pattern_of(json, file), nfc);
  impl->read_vocabulary(tokenizer_member(model, "vocab"), file);
  read_merge_list(tokenizer_member(model, "merges"), impl->vocabulary, impl->merges, file);
  for (const AddedToken& token : read_added_token_list(json, file)) {
    impl->vocabulary.add(token, file);
    impl->added.add(token);
  }
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
  return impl_->added.encode(utf8, [this](std::string_view text, std::vector<int64_t>& ids) {
    impl_->encode_ordinary(text, ids);
  });
}

std::string Bpe::decode(std::span<const int64_t> token_ids) const {
  std::string bytes;
  for (const int64_t id : token_ids) {
    if (id < 0 || id >= size() || impl_->vocabulary.token(id).empty()) {
      throw DataError("token id " + std::to_string(id) + " is not in the vocabulary", {},
                      "ids below " + std::to_string(size()) + " are known");
    }
    const std::string& token = impl_->vocabulary.token(id);
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
  return impl_->vocabulary.id(token);
}

int64_t Bpe::size() const {
  return impl_->vocabulary.size();
}

}  // namespace ttsft
