// Columns of text and of frames in the layouts that the decoders hear. Upstream:
// fish_speech/content_sequence.py, conversation.py, datasets/semantic.py.
#pragma once

#include <torch/torch.h>

#include <string>
#include <vector>

#include "models/fish_s2_pro/text.h"

namespace ttsft::fish_s2_pro {

// Upstream's matrix of 11 rows: a token in each column, and the ten codes in those of frames.
struct Columns {
  std::vector<int64_t> tokens;
  std::vector<int64_t> frame_at;      // which columns are frames, ascending
  std::vector<torch::Tensor> frames;  // [n, 10] each, int64, in their order

  int64_t size() const { return std::ssize(tokens); }
  torch::Tensor codes() const;  // [all, 10]
};

// A recording and what is said in it.
struct Reference {
  std::string text;     // with or without a speaker tag
  torch::Tensor codes;  // [F, 10]
};

class PromptBuilder {
 public:
  explicit PromptBuilder(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  void text(const std::string& part);
  void frames(const torch::Tensor& codes);  // [F, 10]
  void end_of_message();                    // <|im_end|> and a line break, one part

  // The chat template: what the model was made with.
  void system(const std::vector<Reference>& references);
  void user(const std::string& words);
  void assistant();  // speech begins behind it

  Columns take() { return std::move(columns_); }
  const Columns& columns() const { return columns_; }

 private:
  const Tokenizer& tokenizer_;
  Columns columns_;
};

enum class Layout {
  kChat,      // as it is run with
  kUpstream,  // what upstream's fine-tuning teaches: the prompt of the model before
};

// A transcript as its layout has it: cleaned as upstream's packing tool and loader do, with speaker
// and phoneme tags in the chat layout. "": nothing is left.
std::string training_text(const std::string& transcript, Layout layout);

// A clip with its words: all columns, and behind which of them the labels begin (that of a column
// is the token of the next one). F frames have F + 2 labels (chat) or F + 1.
struct TrainingColumns {
  Columns columns;
  int64_t first_label = 0;  // column whose successor is the first one with a label
};
TrainingColumns training_columns(const Tokenizer& tokenizer, const std::string& words,
                                 const torch::Tensor& codes, Layout layout);

}  // namespace ttsft::fish_s2_pro
