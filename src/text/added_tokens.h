// Tokens that stand outside the BPE vocabulary's merges (<|im_start|> and the like) and how a text
// is cut at them.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ttsft {

struct AddedToken {
  std::string content;
  int64_t id = -1;
  bool lstrip = false;       // takes the white space before it
  bool rstrip = false;       // takes the white space behind it
  bool single_word = false;  // only where no word character touches it
  bool normalized = false;   // looked for in the normalised text, not in the text as written
};

// A stretch of text: a token, or ordinary text (no id).
struct TextSpan {
  std::string_view text;
  std::optional<int64_t> id;
};

// Leftmost match, the longest at that place, as the AddedVocabulary of Hugging Face's tokenizers.
class AddedTokenMatcher {
 public:
  void add(const AddedToken& token);
  std::vector<TextSpan> cut(std::string_view text) const;

 private:
  const AddedToken* match_at(std::string_view text, size_t offset) const;

  std::array<std::vector<AddedToken>, 256> by_first_byte_;  // longest first
};

// The added tokens of a vocabulary: those looked for in the text as written are cut out first, the
// others in what is left of it, normalised.
class AddedTokens {
 public:
  using Normalize = std::string (*)(std::string_view);
  using Encode = std::function<void(std::string_view text, std::vector<int64_t>& ids)>;

  // normalize: nullptr where the tokenizer has none.
  explicit AddedTokens(Normalize normalize = nullptr) : normalize_(normalize) {}

  void add(const AddedToken& token);
  // Ids of a text; `ordinary` appends those of what lies between the tokens.
  std::vector<int64_t> encode(std::string_view text, const Encode& ordinary) const;

 private:
  Normalize normalize_;
  AddedTokenMatcher raw_, normalized_;
};

}  // namespace ttsft
