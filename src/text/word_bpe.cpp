#include "ttsft/text/word_bpe.h"

#include <nlohmann/json.hpp>
#include <string>

#include "bpe_merges.h"
#include "tokenizer_files.h"
#include "ttsft/core/error.h"
#include "utf8.h"

namespace ttsft {
namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

const Json& member(const Json& object, const char* name) {
  static const Json kNull;
  const auto it = object.find(name);
  return it == object.end() ? kNull : *it;
}

bool is_off(const Json& value) {
  return value.is_null() || value == false || value == 0.0 || value == "";
}

// What a name asks for, as short as the file says it: its type where it has one.
std::string spelled(const Json& value) {
  const Json& type = value.is_object() ? member(value, "type") : value;
  return (type.is_null() ? value : type).dump();
}

[[noreturn]] void refuse(const std::string& part, const Json& value, const fs::path& file) {
  throw DataError("the tokenizer's " + part + " is " + spelled(value) + ", which is not supported",
                  file.string(), "use the tokenizer.json of the model's release");
}

void require_plain(const Json& json, const Json& model, const fs::path& file) {
  const Json& type = member(model, "type");  // absent in files of old versions
  if (!type.is_null() && type != "BPE") refuse("model", model, file);
  for (const char* name : {"normalizer", "post_processor", "truncation", "padding"}) {
    if (!member(json, name).is_null()) refuse(name, member(json, name), file);
  }
  const Json& splitter = member(json, "pre_tokenizer");
  if (!splitter.is_object() || member(splitter, "type") != "Whitespace") {
    refuse("pre_tokenizer", splitter, file);
  }
  for (const char* name : {"dropout", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk",
                           "byte_fallback", "ignore_merges"}) {
    if (!is_off(member(model, name))) refuse(name, member(model, name), file);
  }
  if (!member(model, "unk_token").is_string()) {
    refuse("unk_token", member(model, "unk_token"), file);
  }
}

}  // namespace

struct WordBpe::Impl {
  void read(const fs::path& file);
  void read_merges(const Json& list, const fs::path& file);
  void encode_words(std::string_view text, std::vector<int64_t>& ids) const;

  Vocabulary vocabulary;
  BpeMerges merges;
  int64_t unknown = -1;
  AddedTokens added;
};

void WordBpe::Impl::read(const fs::path& file) {
  const Json json = read_tokenizer_json(file);
  const Json& model = member(json, "model");
  if (!model.is_object()) refuse("model", model, file);
  require_plain(json, model, file);
  if (!member(model, "vocab").is_object()) refuse("vocab", member(model, "vocab"), file);
  vocabulary.read(member(model, "vocab"), file);

  const std::string unknown_token = member(model, "unk_token").get<std::string>();
  unknown = vocabulary.id(unknown_token);
  if (unknown < 0) {
    throw DataError("the unknown token '" + unknown_token + "' is not in the vocabulary",
                    file.string(), "copy the file again from the release");
  }
  read_merges(member(model, "merges"), file);
  for (const AddedToken& token : read_added_token_list(json, file)) {
    vocabulary.add(token, file);
    added.add(token);
  }
}

// "a b", or ["a", "b"] since tokenizers 0.20.
void WordBpe::Impl::read_merges(const Json& list, const fs::path& file) {
  if (!list.is_array()) refuse("list of merges", list, file);
  merges.reserve(list.size());
  int32_t rank = 0;
  for (const Json& entry : list) {
    const auto bad = [&](const std::string& what) {
      return DataError("merge " + std::to_string(rank) + " " + what + ": " + entry.dump(),
                       file.string(), "copy the file again from the release");
    };
    std::string left, right;
    if (entry.is_array() && entry.size() == 2 && entry[0].is_string() && entry[1].is_string()) {
      left = entry[0].get<std::string>();
      right = entry[1].get<std::string>();
    } else if (entry.is_string()) {
      const auto& pair = entry.get_ref<const std::string&>();
      const size_t space = pair.find(' ');
      if (space == std::string::npos || pair.find(' ', space + 1) != std::string::npos) {
        throw bad("is not two symbols");
      }
      left = pair.substr(0, space);
      right = pair.substr(space + 1);
    } else {
      throw bad("is not two symbols");
    }
    const int64_t a = vocabulary.id(left), b = vocabulary.id(right);
    const int64_t both = vocabulary.id(left + right);
    if (a < 0 || b < 0 || both < 0) throw bad("names a symbol that is not in the vocabulary");
    merges.add(int32_t(a), int32_t(b), rank++, int32_t(both));
  }
}

// The pieces of \w+|[^\w\s]+, each through the merges.
void WordBpe::Impl::encode_words(std::string_view text, std::vector<int64_t>& out) const {
  enum class Kind { kNone, kWord, kOther };
  std::vector<int32_t> symbols;
  Kind kind = Kind::kNone;
  const auto flush = [&] {
    merges.apply(symbols);
    out.insert(out.end(), symbols.begin(), symbols.end());
    symbols.clear();
  };
  for (size_t offset = 0; offset < text.size();) {
    const size_t begin = offset;
    const int32_t code_point = next_code_point(text, offset);
    const Kind here = is_word(code_point)    ? Kind::kWord
                      : is_space(code_point) ? Kind::kNone
                                             : Kind::kOther;
    if (here != kind) flush();
    kind = here;
    if (here == Kind::kNone) continue;
    const int64_t id = vocabulary.id(text.substr(begin, offset - begin));
    symbols.push_back(int32_t(id < 0 ? unknown : id));
  }
  flush();
}

WordBpe::WordBpe(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
WordBpe::~WordBpe() = default;
WordBpe::WordBpe(WordBpe&&) noexcept = default;
WordBpe& WordBpe::operator=(WordBpe&&) noexcept = default;

WordBpe WordBpe::from_file(const fs::path& tokenizer_json) {
  auto impl = std::make_unique<Impl>();
  impl->read(tokenizer_json);
  return WordBpe(std::move(impl));
}

std::vector<int64_t> WordBpe::encode(std::string_view utf8) const {
  require_valid_utf8(utf8);
  return impl_->added.encode(utf8, [this](std::string_view text, std::vector<int64_t>& ids) {
    impl_->encode_words(text, ids);
  });
}

int64_t WordBpe::id(std::string_view token) const {
  return impl_->vocabulary.id(token);
}

int64_t WordBpe::size() const {
  return impl_->vocabulary.size();
}

int64_t WordBpe::unknown_id() const {
  return impl_->unknown;
}

}  // namespace ttsft
