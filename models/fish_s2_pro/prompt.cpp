#include "models/fish_s2_pro/prompt.h"

#include "ttsft/core/strings.h"

namespace ttsft::fish_s2_pro {

torch::Tensor Columns::codes() const {
  return frames.empty() ? torch::empty({0, 0}, torch::kInt64) : torch::cat(frames);
}

void PromptBuilder::text(const std::string& part) {
  const std::vector<int64_t> ids = tokenizer_.encode(part);
  columns_.tokens.insert(columns_.tokens.end(), ids.begin(), ids.end());
}

void PromptBuilder::frames(const torch::Tensor& codes) {
  const torch::Tensor first = codes.select(1, 0).to(torch::kInt64).contiguous();
  for (int64_t f = 0; f < codes.size(0); ++f) {
    columns_.frame_at.push_back(columns_.size());
    columns_.tokens.push_back(tokenizer_.semantic_begin() + first.data_ptr<int64_t>()[f]);
  }
  columns_.frames.push_back(codes.to(torch::kInt64));
}

void PromptBuilder::end_of_message() {
  text("<|im_end|>\n");
}

void PromptBuilder::system(const std::vector<Reference>& references) {
  text("<|im_start|>system\n");
  if (references.empty()) {
    text("convert the provided text to speech");
    end_of_message();
    return;
  }
  text("convert the provided text to speech reference to the following:\n\nText:\n");
  std::vector<std::string> texts;
  std::vector<torch::Tensor> codes;
  for (const Reference& reference : references) {
    const std::string tag = "<|speaker:" + std::to_string(texts.size()) + "|>";
    texts.push_back(has_speaker_tag(reference.text) ? reference.text : tag + reference.text);
    codes.push_back(reference.codes);
  }
  text(join(texts, "\n"));
  text("\n\nSpeech:\n");
  frames(torch::cat(codes));
  end_of_message();
}

void PromptBuilder::user(const std::string& words) {
  text("<|im_start|>user\n");
  text(words);
  end_of_message();
}

void PromptBuilder::assistant() {
  text("<|im_start|>assistant\n<|voice|>");
}

std::string training_text(const std::string& transcript, Layout layout) {
  if (layout == Layout::kUpstream) return clean_text(packed_text(transcript, /*keep_tags=*/false));
  return clean_text(packed_text(spelled_tags(transcript), /*keep_tags=*/true));
}

TrainingColumns training_columns(const Tokenizer& tokenizer, const std::string& words,
                                 const torch::Tensor& codes, Layout layout) {
  PromptBuilder prompt(tokenizer);
  if (layout == Layout::kChat) {
    prompt.system({});
    prompt.user(words);
    prompt.assistant();
  } else {
    prompt.text("Speak out the provided text.");
    prompt.text("<|speaker:user|> " + words);
    prompt.text("<|im_end|>");
    prompt.text("<|speaker:assistant|> <|voice|>");
  }
  TrainingColumns made;
  made.first_label = prompt.columns().size() - 1;
  prompt.frames(codes);
  if (layout == Layout::kChat) {
    prompt.end_of_message();
  } else {
    prompt.text("<|im_end|>");
  }
  made.columns = prompt.take();
  return made;
}

}  // namespace ttsft::fish_s2_pro
