#include "models/indextts2/text.h"

#include <algorithm>
#include <utility>

#include "ttsft/core/error.h"
#include "ttsft/core/log.h"
#include "ttsft/text/python_string.h"
#include "ttsft/text/split.h"

namespace ttsft::indextts2 {
namespace {

namespace fs = std::filesystem;

// Source: index-tts, indextts/utils/common.py, tokenize_by_CJK_char.
bool stands_alone(int32_t c) {
  constexpr std::pair<int32_t, int32_t> kRanges[] = {
      {0x1100, 0x11ff}, {0x2e80, 0xa4cf}, {0xa840, 0xd7af},   {0xf900, 0xfaff},
      {0xfe30, 0xfe4f}, {0xff65, 0xffdc}, {0x20000, 0x2ffff},
  };
  return std::any_of(std::begin(kRanges), std::end(kRanges),
                     [&](const auto& range) { return c >= range.first && c <= range.second; });
}

TextNormalizer make_normalizer(const fs::path& checkpoint, const TextOptions& options) {
  const std::optional<fs::path> grammars =
      options.grammars.empty() ? find_text_grammars(checkpoint) : std::optional(options.grammars);
  if (!grammars) {
    log_warning("no text grammars: digits and symbols are refused, abbreviations stay as written; ",
                "tools/setup fetches them");
  }
  const fs::path glossary = checkpoint / "glossary.yaml";
  const bool with_glossary = options.glossary && fs::exists(glossary);
  return TextNormalizer(grammars,
                        with_glossary ? read_glossary(glossary) : std::vector<GlossaryTerm>());
}

}  // namespace

std::string pretokenize(std::string_view text) {
  std::string out, run;
  const auto add = [&](std::string_view part) {
    const std::string_view item = strip(part);
    if (item.empty()) return;
    if (!out.empty()) out += ' ';
    out += upper_case(item);
  };
  for (const std::string_view character : split_characters(text)) {
    if (!stands_alone(first_code_point(character))) {
      run += character;
      continue;
    }
    add(run);
    run.clear();
    add(character);
  }
  add(run);
  return out;
}

std::string Segment::text() const {
  std::string joined;
  for (const std::string& piece : pieces) joined += piece;
  return std::string(strip(replace_all(joined, "▁", " ")));
}

TextFrontend::TextFrontend(const fs::path& checkpoint, const TextOptions& options)
    : tokenizer_(SentencePiece::from_file(checkpoint / options.tokenizer)) {
  if (options.normalize) normalizer_ = make_normalizer(checkpoint, options);
}

std::string TextFrontend::normalize(const std::string& text) const {
  return normalizer_ ? normalizer_->normalize(text) : text;
}

std::vector<std::string> TextFrontend::pieces(const std::string& text) const {
  if (!is_valid_utf8(text)) {
    throw DataError("text is not valid UTF-8", {}, "convert the file, e.g. iconv -t utf-8");
  }
  if (text.empty()) return {};
  if (count_characters(strip(text)) == 1) return tokenizer_.pieces(text);
  return tokenizer_.pieces(pretokenize(normalize(text)));
}

std::vector<int64_t> TextFrontend::encode(const std::string& text) const {
  return tokenizer_.ids(pieces(text));
}

std::vector<Segment> TextFrontend::segments(const std::string& text,
                                            const SegmentLimits& limits) const {
  std::vector<Segment> segments;
  for (std::vector<std::string>& part : split_segments(pieces(text), limits)) {
    std::vector<int64_t> ids = tokenizer_.ids(part);
    segments.push_back({std::move(part), std::move(ids)});
  }
  return segments;
}

double TextFrontend::unknown_share(const std::vector<int64_t>& ids) const {
  if (ids.empty()) return 0;
  return double(std::count(ids.begin(), ids.end(), tokenizer_.unknown_id())) / double(ids.size());
}

}  // namespace ttsft::indextts2
