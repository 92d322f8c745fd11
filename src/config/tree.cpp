#include "src/config/tree.h"

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include "ttsft/core/error.h"
#include "ttsft/core/strings.h"

namespace ttsft::config {
namespace {

// An alias may point at its own parent, or double itself at each level.
constexpr int kMaxDepth = 32;
constexpr int kMaxNodes = 100'000;

class Converter {
 public:
  // A flag has no lines: its whole text is the place.
  Converter(std::string name, bool lines) : name_(std::move(name)), lines_(lines) {}

  std::string where(const YAML::Mark& mark) const {
    return lines_ && mark.line >= 0 ? fmt::format("{}:{}", name_, mark.line + 1) : name_;
  }

  Node convert(const YAML::Node& source, const std::string& path, int depth) {
    Node node;
    node.where = where(source.Mark());
    if (depth > kMaxDepth || ++count_ > kMaxNodes) {
      throw UsageError(node.where + ": nested or repeated without end", "",
                       "write the values out, without aliases");
    }
    if (source.IsScalar()) {
      node.kind = Node::Kind::kScalar;
      node.text = source.Scalar();
      node.quoted = source.Tag() != "?";
    } else if (source.IsSequence()) {
      node.kind = Node::Kind::kList;
      for (const auto& item : source) node.items.push_back(convert(item, path, depth + 1));
    } else if (source.IsMap()) {
      node.kind = Node::Kind::kMap;
      for (const auto& pair : source) add_entry(node, pair.first, pair.second, path, depth);
    }
    return node;
  }

 private:
  void add_entry(Node& node, const YAML::Node& key, const YAML::Node& value,
                 const std::string& path, int depth) {
    const std::string place = where(key.Mark());
    if (!key.IsScalar()) throw UsageError(place + ": a key must be a word");
    const std::string dotted = path.empty() ? key.Scalar() : path + "." + key.Scalar();
    if (const Entry* first = node.find(key.Scalar())) {
      throw UsageError(fmt::format("{}: {}: key given twice", place, dotted), "",
                       fmt::format("it stands at {} already; keep one", first->where));
    }
    Node converted = convert(value, dotted, depth + 1);
    node.entries.push_back({key.Scalar(), place, std::move(converted)});
  }

  std::string name_;
  bool lines_;
  int count_ = 0;
};

Node parse(const std::string& text, const std::string& name, bool lines) {
  Converter converter(name, lines);
  try {
    const std::vector<YAML::Node> documents = YAML::LoadAll(text);
    if (documents.empty()) return Node{.where = name};
    if (documents.size() > 1) {
      throw UsageError(name + ": holds several YAML documents", "", "keep one (remove ---)");
    }
    return converter.convert(documents.front(), "", 0);
  } catch (const YAML::Exception& e) {
    throw UsageError(fmt::format("{}: not valid YAML: {}", converter.where(e.mark), e.msg));
  }
}

}  // namespace

const Entry* Node::find(std::string_view key) const {
  for (const Entry& entry : entries) {
    if (entry.key == key) return &entry;
  }
  return nullptr;
}

const Entry* Node::find_path(std::string_view path) const {
  const Node* node = this;
  const Entry* entry = nullptr;
  for (const std::string& key : split(path, '.')) {
    entry = node->find(key);
    if (!entry) return nullptr;
    node = &entry->value;
  }
  return entry;
}

Node parse_yaml(const std::string& text, const std::string& name) {
  return parse(text, name, true);
}

Node parse_override(const std::string& text) {
  const std::string flag = "--set " + text;
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) {
    throw UsageError(flag + ": no key and value", "", "write --set key.path=value");
  }
  const std::vector<std::string> keys = split(trim(text.substr(0, equals)), '.');
  Node node = parse(text.substr(equals + 1), flag, false);
  for (auto key = keys.rbegin(); key != keys.rend(); ++key) {
    if (key->empty()) {
      throw UsageError(flag + ": a part of the key is empty", "", "write --set key.path=value");
    }
    Node parent{.kind = Node::Kind::kMap, .where = flag, .partial = true};
    parent.entries.push_back({*key, flag, std::move(node)});
    node = std::move(parent);
  }
  return node;
}

std::string describe(const Node& node) {
  switch (node.kind) {
    case Node::Kind::kNull:
      return "null";
    case Node::Kind::kScalar:
      return node.quoted ? "the text \"" + node.text + "\"" : "`" + node.text + "`";
    case Node::Kind::kList:
      return "a list";
    case Node::Kind::kMap:
      return "a map";
  }
  return {};
}

}  // namespace ttsft::config
