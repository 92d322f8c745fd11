// Scalars to and from YAML text. What is written here is read back as the same value, by this
// program and by YAML 1.1 readers such as PyYAML.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ttsft::config {

std::optional<bool> parse_bool(std::string_view text);  // true/false, yes/no, on/off
std::optional<int64_t> parse_int(std::string_view text);
std::optional<double> parse_double(std::string_view text);  // finite numbers only

std::string yaml_text(bool value);
std::string yaml_text(int64_t value);
std::string yaml_text(double value);  // shortest text that reads back equal: 2.0e-06, 1.0
std::string yaml_text(const std::string& value);
std::string yaml_text(const std::filesystem::path& value);  // null when empty
std::string yaml_text(const std::map<std::string, std::string>& items);

template <class T>
std::string yaml_text(const std::vector<T>& items) {
  std::string text = "[";
  for (const T& item : items) {
    if (text.size() > 1) text += ", ";
    text += yaml_text(item);
  }
  return text + "]";
}

template <class T>
std::string yaml_text(const std::optional<T>& value) {
  return value ? yaml_text(*value) : "null";
}

}  // namespace ttsft::config
