#include "models/cosyvoice3/text.h"

#include "models/cosyvoice3/special_tokens.h"

namespace ttsft::cosyvoice3 {

TextFrontend::TextFrontend(const std::filesystem::path& checkpoint)
    : bpe_(
          Bpe::from_folder(checkpoint / "CosyVoice-BlankEN", kQwen2SplitPattern, special_tokens())),
      end_of_prompt_(bpe_.id(kEndOfPrompt)) {}

std::vector<int64_t> TextFrontend::encode(const std::string& text) const {
  return bpe_.encode(text);
}

std::vector<std::string> TextFrontend::segments(const std::string& text,
                                                bool keep_special_tokens) const {
  NormalizeOptions options;
  options.keep_special_tokens = keep_special_tokens;
  options.count_tokens = [this](const std::string& part) { return std::ssize(encode(part)); };
  return normalize_text(text, options);
}

std::string TextFrontend::with_prompt(const std::string& text) {
  return has_end_of_prompt(text) ? text : kSystemPrompt + std::string(kEndOfPrompt) + text;
}

std::string TextFrontend::instruction(const std::string& text) {
  if (has_end_of_prompt(text)) return text;
  return std::string(kSystemPrompt) + (text.empty() ? "" : " ") + text + kEndOfPrompt;
}

bool TextFrontend::has_end_of_prompt(const std::string& text) {
  return text.find(kEndOfPrompt) != std::string::npos;
}

std::vector<std::string> TextFrontend::special_tokens_in(const std::string& text) {
  std::vector<std::string> found;
  for (const std::string& token : special_tokens()) {
    if (text.find(token) != std::string::npos) found.push_back(token);
  }
  return found;
}

}  // namespace ttsft::cosyvoice3
