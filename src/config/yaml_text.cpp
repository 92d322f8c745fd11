#include "src/config/yaml_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "ttsft/core/strings.h"

namespace ttsft::config {
namespace {

constexpr std::array<std::string_view, 4> kTrue = {"true", "yes", "on", "y"};
constexpr std::array<std::string_view, 4> kFalse = {"false", "no", "off", "n"};

template <class Words>
bool among(const Words& words, std::string_view text) {
  return std::find(words.begin(), words.end(), text) != words.end();
}

template <class T>
std::optional<T> parse_number(std::string_view text) {
  if (text.size() > 1 && text[0] == '+' && text[1] != '-') text.remove_prefix(1);
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Whether the text stands without quotes and is a text to every reader.
bool is_plain(std::string_view text) {
  constexpr std::string_view kSafe =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./+-";
  if (text.empty() || text.find_first_not_of(kSafe) != std::string_view::npos) return false;
  const char first = text.front();
  if (first == '-' || first == '+' || (first == '.' && text.size() == 1)) return false;
  const std::string lower = to_lower_ascii(text);
  if (lower == "null" || lower == ".inf" || lower == ".nan") return false;
  if (among(kTrue, lower) || among(kFalse, lower)) return false;
  // Numbers of any notation and dates: YAML 1.1 knows 1_000, 0x1f, 12:30:00 and 2001-01-01.
  const bool digit = first >= '0' && first <= '9';
  return !digit && !(first == '.' && text[1] >= '0' && text[1] <= '9');
}

}  // namespace

std::optional<bool> parse_bool(std::string_view text) {
  const std::string lower = to_lower_ascii(text);
  if (lower.size() < 2) return std::nullopt;
  if (among(kTrue, lower)) return true;
  if (among(kFalse, lower)) return false;
  return std::nullopt;
}

std::optional<int64_t> parse_int(std::string_view text) {
  return parse_number<int64_t>(text);
}

std::optional<double> parse_double(std::string_view text) {
  const auto value = parse_number<double>(text);
  return value && std::isfinite(*value) ? value : std::nullopt;
}

std::string yaml_text(bool value) {
  return value ? "true" : "false";
}

std::string yaml_text(int64_t value) {
  return fmt::format("{}", value);
}

std::string yaml_text(double value) {
  std::string text = fmt::format("{}", value);
  if (text.find('.') != std::string::npos || !std::isfinite(value)) return text;
  // Without a point YAML 1.1 readers take 2e-06 for a text, and 1 for a whole number.
  const size_t exponent = std::min(text.find('e'), text.size());
  return text.insert(exponent, ".0");
}

std::string yaml_text(const std::string& value) {
  if (is_plain(value)) return value;
  std::string text = "\"";
  for (const char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      text += '\\';
      text += c;
    } else if (c == '\n') {
      text += "\\n";
    } else if (byte < 0x20 || byte == 0x7f) {
      text += fmt::format("\\x{:02x}", byte);
    } else {
      text += c;
    }
  }
  return text + "\"";
}

std::string yaml_text(const std::filesystem::path& value) {
  return value.empty() ? "null" : yaml_text(value.string());
}

std::string yaml_text(const std::map<std::string, std::string>& items) {
  std::string text = "{";
  for (const auto& [key, value] : items) {
    if (text.size() > 1) text += ", ";
    text += yaml_text(key) + ": " + yaml_text(value);
  }
  return text + "}";
}

}  // namespace ttsft::config
