#include "tagged_tokens.h"

#include <algorithm>

namespace ttsft {

const MemberOrders kEnglishMemberOrders = {
    {"date", {"preserve_order", "text", "day", "month", "year"}},
    {"money", {"integer_part", "fractional_part", "quantity", "currency_maj"}},
};
const MemberOrders kChineseMemberOrders = {
    {"date", {"year", "month", "day"}},
    {"fraction", {"denominator", "numerator"}},
    {"measure", {"denominator", "numerator", "value"}},
    {"money", {"value", "currency"}},
    {"time", {"noon", "hour", "minute", "second"}},
};

namespace {

struct Token {
  std::string_view name;
  std::vector<std::pair<std::string_view, std::string_view>> members;  // as tagged

  // The last one counts where a key is given twice.
  const std::string_view* find(std::string_view key) const {
    const auto it = std::find_if(members.rbegin(), members.rend(),
                                 [&](const auto& member) { return member.first == key; });
    return it == members.rend() ? nullptr : &it->second;
  }
};

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  bool at_end() {
    skip(' ');
    return at_ == text_.size();
  }

  bool parse(Token& token) {
    token.name = key();
    if (token.name.empty()) return false;
    skip(' ');
    if (!take('{')) return false;
    while (!at_end()) {
      if (take('}')) return true;
      const std::string_view name = key();
      if (name.empty() || !take(':')) return false;
      skip(' ');
      std::string_view value;
      if (!take('"') || !parse_value(value)) return false;
      token.members.emplace_back(name, value);
    }
    return false;
  }

 private:
  std::string_view key() {
    const size_t begin = at_;
    while (at_ < text_.size() && (text_[at_] == '_' || (text_[at_] >= 'a' && text_[at_] <= 'z') ||
                                  (text_[at_] >= 'A' && text_[at_] <= 'Z'))) {
      ++at_;
    }
    return text_.substr(begin, at_ - begin);
  }

  // Up to the closing quote; a backslash and what it protects stay as they are.
  bool parse_value(std::string_view& value) {
    const size_t begin = at_;
    while (at_ < text_.size() && text_[at_] != '"') at_ += text_[at_] == '\\' ? 2 : 1;
    if (at_ >= text_.size()) return false;
    value = text_.substr(begin, at_ - begin);
    return take('"');
  }

  bool take(char c) {
    const bool there = at_ < text_.size() && text_[at_] == c;
    if (there) ++at_;
    return there;
  }
  void skip(char c) {
    while (take(c)) continue;
  }

  std::string_view text_;
  size_t at_ = 0;
};

void append_member(std::string& out, std::string_view key, std::string_view value) {
  out.append(" ").append(key).append(": \"").append(value).append("\"");
}

void append(std::string& out, const Token& token, const MemberOrders& orders) {
  out.append(token.name).append(" {");
  const auto order = std::find_if(orders.begin(), orders.end(),
                                  [&](const auto& entry) { return entry.first == token.name; });
  const std::string_view* preserve = token.find("preserve_order");
  if (order == orders.end() || (preserve != nullptr && *preserve == "true")) {
    for (const auto& [key, value] : token.members) append_member(out, key, *token.find(key));
  } else {
    for (const std::string_view key : order->second) {
      if (const std::string_view* value = token.find(key)) append_member(out, key, *value);
    }
  }
  out += " }";
}

}  // namespace

std::optional<std::string> reorder_tokens(std::string_view tagged, const MemberOrders& orders) {
  Parser parser(tagged);
  std::string out;
  while (!parser.at_end()) {
    Token token;
    if (!parser.parse(token)) return std::nullopt;
    if (!out.empty()) out += ' ';
    append(out, token, orders);
  }
  return out;
}

}  // namespace ttsft
