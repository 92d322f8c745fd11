// Text to the talker's text track: templates, tokenisation and upstream's fixed slicing.
// Source: qwen_tts 0.1.1, inference/qwen3_tts_model.py and finetuning/dataset.py.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "models/qwen3_tts/config.h"
#include "ttsft/text/bpe.h"

namespace ttsft::qwen3_tts {

class TextFrontend {
 public:
  // split_pattern: "qwen2" | "mistral". DataError when the template does not tokenise as the
  // slicing expects.
  TextFrontend(const std::filesystem::path& checkpoint, const Config& config,
               const std::string& split_pattern);

  std::vector<int64_t> role() const { return role_; }  // <|im_start|> assistant newline
  // Ids of the text alone, tokenised inside the whole template. Leading white space is dropped (a
  // newline there would merge with the template's). DataError for empty text and for special tokens
  // typed in the text.
  std::vector<int64_t> speech(const std::string& text)
      const;  // "<|im_start|>assistant\n{}<|im_end|>\n<|im_start|>assistant\n"
  std::vector<int64_t> reference(
      const std::string& text) const;  // "<|im_start|>assistant\n{}<|im_end|>\n"
  std::vector<int64_t> instruct(
      const std::string& text) const;  // "<|im_start|>user\n{}<|im_end|>\n", used whole

 private:
  Bpe bpe_;
  std::vector<int64_t> role_;
};

}  // namespace ttsft::qwen3_tts
