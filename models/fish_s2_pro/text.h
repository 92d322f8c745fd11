// Text as Fish S2 Pro hears it: cleaning of transcripts, speaker tags, turns of a conversation,
// ids. Upstream: fish_speech/text/clean.py, tools/llama/build_dataset.py, models/text2semantic/
// inference.py (split_text_by_speaker, group_turns_into_batches).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "ttsft/text/bpe.h"

namespace ttsft::fish_s2_pro {

class Tokenizer {
 public:
  // tokenizer.json. DataError names it, or a token that Fish's needs and it lacks.
  explicit Tokenizer(const std::filesystem::path& checkpoint);

  // Of one part of a prompt; parts are never joined before.
  std::vector<int64_t> encode(const std::string& part) const { return bpe_.encode(part); }
  int64_t im_end() const { return im_end_; }
  // Token of the first code of a frame: semantic_begin + code.
  int64_t semantic_begin() const { return semantic_begin_; }
  int64_t semantic_codes() const { return semantic_codes_; }  // 4096, with neighbouring ids

 private:
  Bpe bpe_;
  int64_t im_end_, semantic_begin_, semantic_codes_;
};

// What upstream's packing tool makes of a transcript: {..} and <..> become spaces, runs of white
// space one. Upstream loses speaker and phoneme tags with them; keep_tags: they stay.
std::string packed_text(const std::string& text, bool keep_tags);
bool has_markup(const std::string& text);  // something that packed_text(.., true) leaves out
// What upstream's loader makes of it: stripped, straight quotes, no emoji, no ",,".
std::string clean_text(const std::string& text);

// "<speaker:3>" is spelled "<|speaker:3|>".
std::string spelled_tags(const std::string& text);
bool has_speaker_tag(const std::string& text);
std::string with_speaker_tag(const std::string& text);  // "<|speaker:0|>" in front, where none is

// Control tokens that a text spells and that would break the prompt: "<|im_end|>" and the like.
// Speaker and phoneme tags are none.
std::vector<std::string> control_tokens_in(const std::string& text);

// A turn is a speaker tag and the text behind it. Upstream drops what stands before the first tag;
// keep_lead: it is a turn, of speaker 0. A text without tags has none.
std::vector<std::string> split_turns(const std::string& text, bool keep_lead);
// Turns spoken in one go, joined by line breaks: at most five and max_bytes, but one at least. A
// text without turns is one batch.
std::vector<std::string> turn_batches(const std::string& text, int64_t max_bytes, bool keep_lead);

}  // namespace ttsft::fish_s2_pro
