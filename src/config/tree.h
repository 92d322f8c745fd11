// A YAML document as a tree that knows where each part was written: a file and line, or a flag.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace ttsft::config {

struct Entry;

struct Node {
  enum class Kind { kNull, kScalar, kList, kMap };

  Kind kind = Kind::kNull;
  std::string where;     // "run.yaml:12", or "--set train.steps=3"
  std::string text;      // of a scalar
  bool quoted = false;   // a quoted scalar is a text, whatever it looks like
  bool partial = false;  // a map made by a flag's dotted key: it changes a map, and replaces none
  std::vector<Node> items;     // of a list
  std::vector<Entry> entries;  // of a map, in the order of the file

  const Entry* find(std::string_view key) const;
  // The entry of a dotted key, or null.
  const Entry* find_path(std::string_view path) const;
};

struct Entry {
  std::string key;
  std::string where;
  Node value;
};

// `name` is what error lines call the text. UsageErrors: not YAML, a repeated key, several
// documents, a key that is not a word, nesting without end.
Node parse_yaml(const std::string& text, const std::string& name);

// "train.steps=3" as the tree {train: {steps: 3}}.
Node parse_override(const std::string& text);

// "`abc`", "a list": how an error line names a value.
std::string describe(const Node& node);

}  // namespace ttsft::config
