#include "ttsft/text/word_bpe.h"

#include <nlohmann/json.hpp>
#include <string>

#include "bpe_merges.h"
#include "tokenizer_files.h"
#include "tokenizer_json.h"
#include "ttsft/core/error.h"
#include "utf8.h"

namespace ttsft {
namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

void require_plain(const Json& json, const Json& model, const fs::path& file) {
  for (const char* name : {"normalizer", "post_processor", "truncation", "padding"}) {
    if (!tokenizer_member(json, name).is_null())
      refuse_tokenizer(name, tokenizer_member(json, name), file);
  }
  const Json& splitter = tokenizer_member(json, "pre_tokenizer");
  if (!splitter.is_object() || tokenizer_member(splitter, "type") != "Whitespace") {
    refuse_tokenizer("pre_tokenizer", splitter, file);
  }
  require_off(model,
              {"dropout", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk",
               "byte_fallback", "ignore_merges"},
              file);
  if (!tokenizer_member(model, "unk_token").is_string()) {
    refuse_tokenizer("unk_token", tokenizer_member(model, "unk_token"), file);
  }
}

}  // namespace

struct WordBpe::Impl {
  void read(const fs::path& file);
  void encode_words(std::string_view text, std::vector<int64_t>& ids) const;

  Vocabulary vocabulary;
  BpeMerges merges;
  int64_t unknown = -1;
  AddedTokens added;
};

void WordBpe::Impl::read(const fs::path& file) {
  const Json json = read_tokenizer_json(file);
  const Json& model = bpe_model(json, file);
  require_plain(json, model, file);
  vocabulary.read(tokenizer_member(model, "vocab"), file);

  const std::string unknown_token = tokenizer_member(model, "unk_token").get<std::string>();
  unknown = vocabulary.id(unknown_token);
  if (unknown < 0) {
    throw DataError("the unknown token '" + unknown_token + "' is not in the vocabulary",
                    file.string(), "copy the file again from the release");
  }
  read_merge_list(tokenizer_member(model, "merges"), vocabulary, merges, file);
  for (const AddedToken& token : read_added_token_list(json, file)) {
    vocabulary.add(token, file);
    added.add(token);
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
