#include "models/qwen3_tts/text.h"

#include "ttsft/core/error.h"

namespace ttsft::qwen3_tts {
namespace {

constexpr size_t kRoleIds = 3;           // <|im_start|> assistant newline
constexpr size_t kSpeechTailIds = 5;     // <|im_end|> newline <|im_start|> assistant newline
constexpr size_t kReferenceTailIds = 2;  // <|im_end|> newline

std::string clean(const std::string& text, const char* what) {
  // A newline at the start would merge with the template's into one token and shift the slicing.
  const size_t start = text.find_first_not_of(" \t\r\n");
  const std::string trimmed = start == std::string::npos ? "" : text.substr(start);
  if (trimmed.empty()) throw DataError(std::string("there is no ") + what + " to tokenise");
  // Upstream reads these as control tokens; in a data set they are an accident that shifts the
  // slicing.
  for (const char* special : {"<|im_start|>", "<|im_end|>", "<|endoftext|>", "<tts_pad>",
                              "<tts_text_bos>", "<tts_text_eod>"})
    if (trimmed.find(special) != std::string::npos)
      throw DataError(std::string("the ") + what + " holds the control token " + special,
                      "\"" + trimmed.substr(0, 60) + "\"", "remove it");
  return trimmed;
}

std::vector<int64_t> middle(const std::vector<int64_t>& ids, size_t head, size_t tail) {
  return {ids.begin() + static_cast<std::ptrdiff_t>(head),
          ids.end() - static_cast<std::ptrdiff_t>(tail)};
}

std::string_view pattern_of(const std::string& name) {
  return name == "mistral" ? kMistralSplitPattern : kQwen2SplitPattern;
}

}  // namespace

TextFrontend::TextFrontend(const std::filesystem::path& checkpoint, const Config& config,
                           const std::string& split_pattern)
    : bpe_(Bpe::from_folder(checkpoint, pattern_of(split_pattern))) {
  const std::vector<int64_t> ids =
      bpe_.encode("<|im_start|>assistant\nx<|im_end|>\n<|im_start|>assistant\n");
  const auto& c = config;
  const bool fits = ids.size() == kRoleIds + 1 + kSpeechTailIds && ids[0] == c.im_start_token_id &&
                    ids[1] == c.assistant_token_id && ids[4] == c.im_end_token_id;
  if (!fits)
    throw DataError("the tokenizer does not split the chat template as config.json says",
                    checkpoint.string(),
                    "vocab.json, merges.txt and config.json must come from one release");
  if (bpe_.size() > config.talker.text_vocab_size)
    throw DataError("the tokenizer has ids up to " + std::to_string(bpe_.size() - 1) +
                        " but text_vocab_size is " + std::to_string(config.talker.text_vocab_size),
                    checkpoint.string());
  role_ = middle(ids, 0, ids.size() - kRoleIds);
}

std::vector<int64_t> TextFrontend::speech(const std::string& text) const {
  const std::string whole =
      "<|im_start|>assistant\n" + clean(text, "text") + "<|im_end|>\n<|im_start|>assistant\n";
  return middle(bpe_.encode(whole), kRoleIds, kSpeechTailIds);
}

std::vector<int64_t> TextFrontend::reference(const std::string& text) const {
  const std::string whole =
      "<|im_start|>assistant\n" + clean(text, "reference text") + "<|im_end|>\n";
  return middle(bpe_.encode(whole), kRoleIds, kReferenceTailIds);
}

std::vector<int64_t> TextFrontend::instruct(const std::string& text) const {
  return bpe_.encode("<|im_start|>user\n" + clean(text, "instruction") + "<|im_end|>\n");
}

}  // namespace ttsft::qwen3_tts
