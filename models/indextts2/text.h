// Text to the ids of IndexTTS2's GPT: normaliser, CJK pre-tokeniser, SentencePiece, segments.
// Source: index-tts v2.0.0, indextts/utils/front.py (TextTokenizer) and common.py.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "models/indextts2/text_normalizer.h"
#include "ttsft/text/sentence_piece.h"

namespace ttsft::indextts2 {

// Chinese, Japanese and Korean characters each on their own, everything in capitals, one space
// between the parts.
std::string pretokenize(std::string_view text);

struct SegmentLimits {
  int64_t max_tokens = 120;  // longest segment; 60 is safer for alphabetic languages
  // Segments are joined up to max_tokens only once this many tokens have gone by (streaming starts
  // sooner with a short first segment).
  int64_t quick_tokens = 0;
};

// Cut behind sentence marks, commas and hyphens, then joined again up to the limit. As upstream,
// down to the apostrophe behind a sentence mark, which both neighbours get. UsageError for a limit
// below 1.
std::vector<std::vector<std::string>> split_segments(const std::vector<std::string>& pieces,
                                                     const SegmentLimits& limits);

struct TextOptions {
  std::filesystem::path tokenizer = "bpe.model";  // in the checkpoint, or absolute
  bool normalize = true;  // false: the text is normalised already and nothing in it changes
  bool glossary = true;   // glossary.yaml of the checkpoint, where there is one
  // Folder of the text grammars; empty: as find_text_grammars() finds them.
  std::filesystem::path grammars;
};

struct Segment {
  std::vector<std::string> pieces;
  std::vector<int64_t> ids;
  std::string text() const;  // for people: the pieces with spaces for "▁"
};

class TextFrontend {
 public:
  // DataError when the tokenizer, a named grammar folder or the glossary cannot be read.
  explicit TextFrontend(const std::filesystem::path& checkpoint, const TextOptions& options = {});

  // Without start and stop. Empty for text without content (blank, or nothing but what the rules
  // drop). A single character goes to the tokenizer as it is. DataError as TextNormalizer.
  std::vector<std::string> pieces(const std::string& text) const;
  std::vector<int64_t> encode(const std::string& text) const;
  std::vector<Segment> segments(const std::string& text, const SegmentLimits& limits) const;

  std::string normalize(const std::string& text) const;  // the text itself when that is off

  int64_t size() const { return tokenizer_.size(); }  // ids of the tokenizer
  // Share of unknown pieces among the ids, 0 to 1; 0 for none at all.
  double unknown_share(const std::vector<int64_t>& ids) const;

 private:
  SentencePiece tokenizer_;
  std::optional<TextNormalizer> normalizer_;
};

}  // namespace ttsft::indextts2
