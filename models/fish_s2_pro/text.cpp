#include "models/fish_s2_pro/text.h"

#include "models/fish_s2_pro/config.h"
#include "ttsft/core/error.h"
#include "ttsft/core/strings.h"
#include "ttsft/text/python_string.h"
#include "ttsft/text/regex.h"

namespace ttsft::fish_s2_pro {
namespace {

constexpr size_t kMostTurns = 5;  // of a batch
constexpr const char* kFirstSpeaker = "<|speaker:0|>";

int64_t id_of(const Bpe& bpe, const std::string& token, const std::filesystem::path& checkpoint) {
  const int64_t id = bpe.id(token);
  if (id < 0)
    throw DataError("the tokenizer has no token " + token, (checkpoint / kTokenizerFile).string(),
                    "take the one of fishaudio/s2-pro");
  return id;
}

const Regex& speaker_tag() {
  static const Regex tag(R"(<\|speaker:\d+\|>)");
  return tag;
}

// Not a speaker or a phoneme tag: what upstream takes for markup or a control token, and is
// neither.
constexpr const char* kNoTag = R"((?!<\|speaker:\d+\|>|<\|phoneme_(?:start|end)\|>))";

const Regex& braces() {
  static const Regex pattern(R"(\{.*?\})");
  return pattern;
}
const Regex& marks_but_tags() {
  static const Regex pattern(std::string(kNoTag) + "<.*?>");
  return pattern;
}

std::string replaced(const std::string& text, const Regex& pattern, const std::string& with) {
  return pattern.replace(text, [&](const Regex::Groups&) { return with; });
}

}  // namespace

Tokenizer::Tokenizer(const std::filesystem::path& checkpoint)
    : bpe_(Bpe::from_tokenizer(checkpoint / kTokenizerFile)),
      im_end_(id_of(bpe_, "<|im_end|>", checkpoint)),
      semantic_begin_(id_of(bpe_, "<|semantic:0|>", checkpoint)) {
  for (const char* needed : {"<|im_start|>", "<|voice|>"}) id_of(bpe_, needed, checkpoint);
  for (semantic_codes_ = 1;; ++semantic_codes_) {
    const int64_t id = bpe_.id("<|semantic:" + std::to_string(semantic_codes_) + "|>");
    if (id < 0) break;
    if (id != semantic_begin_ + semantic_codes_)
      throw DataError("the ids of <|semantic:..|> have gaps",
                      (checkpoint / kTokenizerFile).string(), "take the one of fishaudio/s2-pro");
  }
}

std::string packed_text(const std::string& text, bool keep_tags) {
  static const Regex marks("<.*?>"), space(R"(\s+)");
  const std::string plain =
      replaced(replaced(text, braces(), " "), keep_tags ? marks_but_tags() : marks, " ");
  return replaced(plain, space, " ");
}

bool has_markup(const std::string& text) {
  const std::string spelled = spelled_tags(text);
  return braces().matches(spelled) || marks_but_tags().matches(spelled);
}

std::string clean_text(const std::string& text) {
  static const Regex quotes("[\\x{2018}\\x{2019}]"), commas(",{2,}"),
      emoji(
          "[\\x{1F600}-\\x{1F64F}\\x{1F300}-\\x{1F5FF}\\x{1F680}-\\x{1F6FF}"
          "\\x{1F1E0}-\\x{1F1FF}]+");
  const std::string straight = replaced(std::string(strip(text)), quotes, "'");
  return replaced(replaced(straight, emoji, ""), commas, ",");
}

std::string spelled_tags(const std::string& text) {
  static const Regex bare(R"(<speaker:(\d+)>)");
  return bare.replace(text, [](const Regex::Groups& groups) {
    return "<|speaker:" + std::string(groups[1]) + "|>";
  });
}

bool has_speaker_tag(const std::string& text) {
  return speaker_tag().matches(text);
}

std::string with_speaker_tag(const std::string& text) {
  return has_speaker_tag(text) ? text : kFirstSpeaker + text;
}

std::vector<std::string> control_tokens_in(const std::string& text) {
  static const Regex control(std::string(kNoTag) + R"(<\|[^|<>]*\|>|</?think>|</?tool_\w+>)");
  std::vector<std::string> found;
  for (const std::string_view token : control.find_all(text)) found.emplace_back(token);
  return found;
}

std::vector<std::string> split_turns(const std::string& text, bool keep_lead) {
  std::vector<size_t> begins;
  speaker_tag().for_each_match(text, [&](size_t begin, size_t) { begins.push_back(begin); });
  std::vector<std::string> turns;
  if (begins.empty()) return turns;
  const auto add = [&](std::string_view part) { turns.emplace_back(strip(part)); };
  const std::string_view lead = strip(std::string_view(text).substr(0, begins.front()));
  if (keep_lead && !lead.empty()) turns.push_back(kFirstSpeaker + std::string(lead));
  for (size_t i = 0; i < begins.size(); ++i) {
    const size_t end = i + 1 < begins.size() ? begins[i + 1] : text.size();
    add(std::string_view(text).substr(begins[i], end - begins[i]));
  }
  return turns;
}

std::vector<std::string> turn_batches(const std::string& text, int64_t max_bytes, bool keep_lead) {
  const std::vector<std::string> turns = split_turns(text, keep_lead);
  if (turns.empty()) return {text};
  std::vector<std::string> batches;
  std::vector<std::string> batch;
  int64_t bytes = 0;
  for (const std::string& turn : turns) {
    const int64_t more = std::ssize(turn);
    if (!batch.empty() && (batch.size() >= kMostTurns || bytes + more > max_bytes)) {
      batches.push_back(join(batch, "\n"));
      batch.clear();
      bytes = 0;
    }
    batch.push_back(turn);
    bytes += more;
  }
  batches.push_back(join(batch, "\n"));
  return batches;
}

}  // namespace ttsft::fish_s2_pro
