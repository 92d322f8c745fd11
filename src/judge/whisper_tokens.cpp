#include "ttsft/judge/whisper_tokens.h"

#include "ttsft/core/error.h"
#include "ttsft/core/strings.h"
#include "ttsft/text/python_string.h"

namespace ttsft {
namespace {

constexpr const char *kFile = "tokenizer.json";

} // namespace

WhisperTokens::WhisperTokens(const WhisperFolder &folder)
    : bpe_(Bpe::from_tokenizer(folder.folder / kFile)),
      vocabulary_(folder.options.vocabulary) {
  const std::string file = (folder.folder / kFile).string();
  const auto need = [&](const char *token) {
    const int64_t id = bpe_.id(token);
    if (id < 0) {
      throw DataError(std::string("the vocabulary has no ") + token, file,
                      "use the tokenizer.json of this Whisper's release");
    }
    return id;
  };
  start_ = need("<|startoftranscript|>");
  end_ = need("<|endoftext|>");
  transcribe_ = need("<|transcribe|>");
  no_timestamps_ = need("<|notimestamps|>");
  no_speech_ = bpe_.id("<|nospeech|>");
  if (no_speech_ < 0)
    no_speech_ = bpe_.id("<|nocaptions|>"); // its name in older files
  nothing_ = bpe_.id(
      ""); // GPT-2's vocabulary as Hugging Face keeps it has a token of no text
  if (bpe_.size() > vocabulary_ ||
      first_timestamp() + folder.options.encoder_positions >= vocabulary_) {
    throw DataError(
        "tokens up to " + std::to_string(bpe_.size() - 1) +
            " and timestamps from " + std::to_string(first_timestamp()) +
            " on do not fit the weights' " + std::to_string(vocabulary_),
        file, "take all files from one release");
  }
  if (!folder.multilingual)
    return;
  for (int64_t id = start_ + 1; id < need("<|translate|>"); ++id)
    languages_.push_back(id);
}

std::string WhisperTokens::language_name(int64_t id) const {
  const std::string token = bpe_.decode(std::vector<int64_t>{id}); // <|en|>
  return token.size() > 4 ? token.substr(2, token.size() - 4) : token;
}

int64_t WhisperTokens::language(const std::string &name) const {
  if (languages_.empty()) {
    if (name == "en")
      return -1;
    throw UsageError("this Whisper knows English alone, not '" + name + "'", "",
                     "take a multilingual one, or the language en");
  }
  const int64_t id = bpe_.id("<|" + name + "|>");
  for (const int64_t known : languages_)
    if (known == id)
      return id;
  std::vector<std::string> names;
  for (const int64_t known : languages_)
    names.push_back(language_name(known));
  throw UsageError("this Whisper does not know the language '" + name + "'", "",
                   "known are " + join(names, ", "));
}

std::vector<int64_t> WhisperTokens::prompt(int64_t language,
                                           bool timestamps) const {
  std::vector<int64_t> ids = {start_};
  if (!languages_.empty())
    ids.insert(ids.end(), {language, transcribe_});
  if (!timestamps)
    ids.push_back(no_timestamps_);
  return ids;
}

std::string WhisperTokens::text(std::span<const int64_t> ids) const {
  std::vector<int64_t> words;
  for (const int64_t id : ids)
    if (id < end_ && id != nothing_)
      words.push_back(id);
  return std::string(strip(bpe_.decode(words)));
}

} // namespace ttsft
