#include "models/chatterbox/text.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "ttsft/core/error.h"
#include "ttsft/text/python_string.h"
#include "ttsft/text/split.h"

namespace ttsft::chatterbox {
namespace {

constexpr std::string_view kStart = "[START]", kStop = "[STOP]", kSpace = "[SPACE]";

// In this order, each over the whole text.
constexpr std::pair<std::string_view, std::string_view> kReplacements[] = {
    {"...", ", "}, {"…", ", "}, {":", ","},  {" - ", ", "}, {";", ", "}, {"—", "-"},
    {"–", "-"},    {" ,", ","}, {"“", "\""}, {"”", "\""},   {"‘", "'"},  {"’", "'"},
};
constexpr std::string_view kEnders = ".!?-,";

int64_t required(const WordBpe& bpe, std::string_view token,
                 const std::filesystem::path& checkpoint) {
  const int64_t id = bpe.id(token);
  if (id >= 0) return id;
  throw DataError("the tokenizer has no " + std::string(token),
                  (checkpoint / "tokenizer.json").string(),
                  "use the tokenizer.json of the model's release");
}

}  // namespace

std::string punc_norm(const std::string& text) {
  if (!is_valid_utf8(text)) {
    throw DataError("text is not valid UTF-8", {}, "convert the file, e.g. iconv -t utf-8");
  }
  if (text.empty()) return "You need to add some text for me to talk.";
  const std::string raised = upper_case_first(text);
  std::string out;
  for (const std::string_view word : split_words(raised)) {
    if (!out.empty()) out += ' ';
    out += word;
  }
  for (const auto& [from, to] : kReplacements) out = replace_all(out, from, to);
  out.erase(out.find_last_not_of(' ') + 1);
  if (out.empty() || kEnders.find(out.back()) == std::string_view::npos) out += '.';
  return out;
}

TextFrontend::TextFrontend(const std::filesystem::path& checkpoint)
    : bpe_(WordBpe::from_file(checkpoint / "tokenizer.json")),
      start_(required(bpe_, kStart, checkpoint)),
      stop_(required(bpe_, kStop, checkpoint)) {
  required(bpe_, kSpace, checkpoint);
}

std::vector<int64_t> TextFrontend::encode(const std::string& text) const {
  // Upstream reads these as the borders of the text; in a data set they are an accident.
  for (const std::string_view special : {kStart, kStop}) {
    if (text.find(special) != std::string::npos) {
      throw DataError("the text holds the control token " + std::string(special),
                      "\"" + text.substr(0, 60) + "\"", "remove it");
    }
  }
  return tokens(punc_norm(text));
}

std::vector<int64_t> TextFrontend::tokens(const std::string& text) const {
  return bpe_.encode(replace_all(text, " ", kSpace));
}

double TextFrontend::unknown_share(const std::vector<int64_t>& ids) const {
  if (ids.empty()) return 0;
  return double(std::count(ids.begin(), ids.end(), bpe_.unknown_id())) / double(ids.size());
}

}  // namespace ttsft::chatterbox
