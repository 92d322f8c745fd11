// What differs between two resolved run files.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "src/config/tree.h"
#include "src/config/yaml_text.h"
#include "ttsft/config/run_config.h"
#include "ttsft/core/strings.h"

namespace ttsft {
namespace {

using config::Node;

constexpr const char* kAbsent = "(not set)";

std::string value_text(const Node& node) {
  if (node.kind == Node::Kind::kNull) return "null";
  if (node.kind == Node::Kind::kList) {
    std::vector<std::string> items;
    for (const Node& item : node.items) items.push_back(value_text(item));
    return "[" + join(items, ", ") + "]";
  }
  // 1 and 1.0 are the same number.
  const auto number = node.quoted ? std::nullopt : config::parse_double(node.text);
  return number ? fmt::format("{}", *number) : node.text;
}

struct Flat {
  std::vector<std::string> keys;  // in the order of the file
  std::map<std::string, std::string> values;
};

void flatten(const Node& node, const std::string& prefix, Flat& flat) {
  for (const config::Entry& entry : node.entries) {
    const std::string key = prefix + entry.key;
    if (entry.value.kind == Node::Kind::kMap) {
      flatten(entry.value, key + ".", flat);
      continue;
    }
    flat.keys.push_back(key);
    flat.values[key] = value_text(entry.value);
  }
}

bool below(const std::string& key, const std::string& prefix) {
  return key == prefix || key.starts_with(prefix + ".");
}

}  // namespace

std::optional<std::string> dumped_value(const std::string& dump, const std::string& key) {
  Flat flat;
  flatten(config::parse_yaml(dump, "the stored run file"), "", flat);
  const auto found = flat.values.find(key);
  if (found == flat.values.end()) return std::nullopt;
  return found->second;
}

std::vector<std::string> diff_runs(const std::string& old_dump, const std::string& new_dump,
                                   const std::vector<std::string>& ignore) {
  Flat before, after;
  flatten(config::parse_yaml(old_dump, "the stored run file"), "", before);
  flatten(config::parse_yaml(new_dump, "the run file"), "", after);
  std::vector<std::string> keys = after.keys;
  for (const std::string& key : before.keys) {
    if (!after.values.contains(key)) keys.push_back(key);
  }

  std::vector<std::string> differences;
  const auto shown = [](const Flat& flat, const std::string& key) {
    const auto found = flat.values.find(key);
    return found == flat.values.end() ? kAbsent : found->second;
  };
  for (const std::string& key : keys) {
    const bool ignored = std::any_of(ignore.begin(), ignore.end(),
                                     [&](const std::string& prefix) { return below(key, prefix); });
    const std::string a = shown(before, key), b = shown(after, key);
    if (!ignored && a != b) differences.push_back(fmt::format("{}: {} -> {}", key, a, b));
  }
  return differences;
}

}  // namespace ttsft
