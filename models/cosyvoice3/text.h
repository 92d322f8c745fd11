// Text to ids: the tokenizer of CosyVoice-BlankEN with the tokens that upstream adds in code, and
// the conventions around a prompt. Upstream: cosyvoice/tokenizer/tokenizer.py, cli/frontend.py.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "models/cosyvoice3/normalize.h"
#include "ttsft/text/bpe.h"

namespace ttsft::cosyvoice3 {

// What stands before the end of a prompt that says nothing else.
inline constexpr const char* kSystemPrompt = "You are a helpful assistant.";

class TextFrontend {
 public:
  // checkpoint: of the release. DataError names the tokenizer file that is missing or damaged.
  explicit TextFrontend(const std::filesystem::path& checkpoint);

  std::vector<int64_t> encode(const std::string& text) const;
  int64_t end_of_prompt() const { return end_of_prompt_; }
  // Segments of a text to speak, normalised. keep_special_tokens: as NormalizeOptions.
  std::vector<std::string> segments(const std::string& text, bool keep_special_tokens) const;

  // "You are a helpful assistant.<|endofprompt|>" in front of a text without such an end.
  static std::string with_prompt(const std::string& text);
  // The prompt of an instruction, which may hold the end itself.
  static std::string instruction(const std::string& text);
  static bool has_end_of_prompt(const std::string& text);
  // Tokens of special_tokens() that a text holds, which it may hold by accident.
  static std::vector<std::string> special_tokens_in(const std::string& text);

 private:
  Bpe bpe_;
  int64_t end_of_prompt_;
};

}  // namespace ttsft::cosyvoice3
