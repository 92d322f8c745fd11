#include "added_tokens.h"

#include <algorithm>

#include "utf8.h"

namespace ttsft {
namespace {

bool starts_with_word(std::string_view text) {
  size_t offset = 0;
  return !text.empty() && is_word(next_code_point(text, offset));
}

bool ends_with_word(std::string_view text) {
  size_t end = text.size();
  return !text.empty() && is_word(previous_code_point(text, end));
}

size_t trailing_spaces_begin(std::string_view text) {
  size_t end = text.size();
  while (end > 0) {
    size_t before = end;
    if (!is_space(previous_code_point(text, before))) break;
    end = before;
  }
  return end;
}

size_t leading_spaces_end(std::string_view text) {
  size_t begin = 0;
  while (begin < text.size()) {
    size_t next = begin;
    if (!is_space(next_code_point(text, next))) break;
    begin = next;
  }
  return begin;
}

}  // namespace

void AddedTokenMatcher::add(const AddedToken& token) {
  auto& list = by_first_byte_[uint8_t(token.content.front())];
  list.push_back(token);
  std::stable_sort(list.begin(), list.end(), [](const AddedToken& a, const AddedToken& b) {
    return a.content.size() > b.content.size();
  });
}

const AddedToken* AddedTokenMatcher::match_at(std::string_view text, size_t offset) const {
  for (const AddedToken& token : by_first_byte_[uint8_t(text[offset])]) {
    if (text.compare(offset, token.content.size(), token.content) == 0) return &token;
  }
  return nullptr;
}

std::vector<TextSpan> AddedTokenMatcher::cut(std::string_view text) const {
  std::vector<TextSpan> spans;
  size_t done = 0;  // text before this is in spans
  size_t offset = 0;
  while (offset < text.size()) {
    const AddedToken* token = match_at(text, offset);
    if (!token) {
      ++offset;
      continue;
    }
    size_t begin = offset, end = offset + token->content.size();
    offset = end;
    if (token->single_word &&
        (ends_with_word(text.substr(0, begin)) || starts_with_word(text.substr(end)))) {
      continue;
    }
    if (token->lstrip) begin = std::max(done, trailing_spaces_begin(text.substr(0, begin)));
    if (token->rstrip) end += leading_spaces_end(text.substr(end));
    if (done < begin) spans.push_back({text.substr(done, begin - done), std::nullopt});
    spans.push_back({text.substr(begin, end - begin), token->id});
    done = end;
    offset = std::max(offset, end);
  }
  if (done < text.size()) spans.push_back({text.substr(done), std::nullopt});
  return spans;
}

void AddedTokens::add(const AddedToken& token) {
  if (!token.normalized) return raw_.add(token);
  AddedToken normalized = token;
  if (normalize_) normalized.content = normalize_(token.content);
  normalized_.add(normalized);
}

std::vector<int64_t> AddedTokens::encode(std::string_view text, const Encode& ordinary) const {
  std::vector<int64_t> ids;
  for (const TextSpan& raw : raw_.cut(text)) {
    if (raw.id) {
      ids.push_back(*raw.id);
      continue;
    }
    const std::string normalized = normalize_ ? normalize_(raw.text) : std::string(raw.text);
    for (const TextSpan& span : normalized_.cut(normalized)) {
      if (span.id) {
        ids.push_back(*span.id);
      } else {
        ordinary(span.text, ids);
      }
    }
  }
  return ids;
}

}  // namespace ttsft
