#include "models/qwen3_tts/fixture_text.h"

#include <nlohmann/json.hpp>
#include <set>
#include <vector>

namespace ttsft::qwen3_tts {
namespace {

// UTF-8 of a code point below U+0800.
std::string utf8(int code) {
  if (code < 0x80) return std::string(1, static_cast<char>(code));
  return {static_cast<char>(0xC0 | (code >> 6)), static_cast<char>(0x80 | (code & 0x3F))};
}

// GPT-2's printable letter for every byte, in the order of its vocabulary.
std::vector<std::string> byte_letters() {
  std::vector<std::string> letters;
  const auto printable = [](int b) {
    return (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
  };
  for (int b = 0; b < 256; ++b)
    if (printable(b)) letters.push_back(utf8(b));
  int extra = 0;
  for (int b = 0; b < 256; ++b)
    if (!printable(b)) letters.push_back(utf8(256 + extra++));
  return letters;
}

// Words that become one token each, built letter by letter. The chat template's words must be among
// them; "G" with a dot stands for the space before a word.
const std::vector<std::vector<std::string>>& words() {
  static const std::vector<std::vector<std::string>> list = {
      {"a", "s", "s", "i", "s", "t", "a", "n", "t"},
      {"u", "s", "e", "r"},
      {"\u0120", "t", "h", "e"},
      {"\u0120", "o", "f"},
      {"\u0120", "h", "i", "s"},
      {"i", "n", "g"}};
  return list;
}

const std::vector<std::string>& special_tokens() {
  static const std::vector<std::string> tokens = {
      "<|endoftext|>",         "<|im_start|>", "<|im_end|>",     "<|audio_start|>",
      "<|audio_end|>",         "<tts_pad>",    "<tts_text_bos>", "<tts_text_eod>",
      "<tts_text_bos_single>", "<|audio_pad|>"};
  return tokens;
}

}  // namespace

FixtureText fixture_text(int64_t first_special) {
  FixtureText text;
  nlohmann::ordered_json vocab;
  int64_t next = 0;
  for (const std::string& letter : byte_letters()) vocab[letter] = next++;
  text.merges = "#version: 0.2\n";
  std::set<std::string> merged;
  for (const auto& word : words()) {
    std::string left = word[0];
    for (size_t i = 1; i < word.size(); ++i) {
      if (merged.insert(left + word[i]).second) {
        text.merges += left + " " + word[i] + "\n";
        vocab[left + word[i]] = next++;
      }
      left += word[i];
    }
  }
  text.assistant_id = vocab["assistant"].get<int64_t>();
  // No merge leads to these; they only give the tables their size.
  while (next < first_special) {
    const std::string filler = "filler" + std::to_string(next);
    vocab[filler] = next++;
  }
  text.vocab = vocab.dump() + "\n";

  nlohmann::ordered_json added = nlohmann::ordered_json::object(),
                         names = nlohmann::ordered_json::array();
  for (size_t i = 0; i < special_tokens().size(); ++i) {
    const std::string& token = special_tokens()[i];
    // The release has a gap behind <|im_end|>: <|audio_start|> is 151669.
    const int64_t gap = first_special > 100000 && i >= 3 ? 23 : 0;
    const int64_t id = first_special + static_cast<int64_t>(i) + gap;
    added[std::to_string(id)] = {{"content", token}, {"lstrip", false},      {"normalized", false},
                                 {"rstrip", false},  {"single_word", false}, {"special", true}};
    if (token == "<tts_text_bos>") text.tts_bos_id = id;
    if (i > 0) names.push_back(token);
  }
  const nlohmann::ordered_json config{
      {"add_bos_token", false},        {"add_prefix_space", false},
      {"added_tokens_decoder", added}, {"additional_special_tokens", names},
      {"bos_token", nullptr},          {"clean_up_tokenization_spaces", false},
      {"eos_token", "<|im_end|>"},     {"errors", "replace"},
      {"model_max_length", 131072},    {"pad_token", "<|endoftext|>"},
      {"split_special_tokens", false}, {"tokenizer_class", "Qwen2Tokenizer"},
      {"unk_token", nullptr}};
  text.tokenizer_config = config.dump(1) + "\n";
  return text;
}

}  // namespace ttsft::qwen3_tts
