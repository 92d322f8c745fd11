#include "src/config/reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <stdexcept>

#include "src/config/walk.h"
#include "src/config/yaml_text.h"
#include "ttsft/core/error.h"
#include "ttsft/core/strings.h"

namespace ttsft::config {
namespace {

using Kind = Node::Kind;

class Reader : public Binder {
 public:
  // all_keys: every dotted key of the run file, for hints at a key that belongs to another section.
  Reader(const Node& map, std::string path, const std::filesystem::path& folder,
         const std::vector<std::string>& all_keys)
      : map_(map), path_(std::move(path)), folder_(folder), all_keys_(all_keys) {}

  void field(const char* key, bool& value, const char*) override {
    read_scalar(key, value, parse_bool, "true or false");
  }
  void field(const char* key, int64_t& value, const char*) override {
    read_scalar(key, value, parse_int, "a whole number");
  }
  void field(const char* key, double& value, const char*) override {
    read_scalar(key, value, parse_double, "a number");
  }
  void field(const char* key, std::optional<int64_t>& value, const char*) override {
    read_scalar(key, value, parse_int, "a whole number or null");
  }
  void field(const char* key, std::optional<double>& value, const char*) override {
    read_scalar(key, value, parse_double, "a number or null");
  }

  void field(const char* key, std::string& value, const char*) override {
    const Entry* entry = take(key);
    if (!entry) return;
    value = entry->value.kind == Kind::kNull ? "" : text_of(*entry, entry->value, "a text");
  }

  void field(const char* key, std::filesystem::path& value, const char*) override {
    const Entry* entry = take(key);
    if (!entry) return;
    value.clear();
    if (entry->value.kind == Kind::kNull) return;
    value = resolve_path(text_of(*entry, entry->value, "a path"), folder_);
  }

  void field(const char* key, std::vector<double>& value, const char*) override {
    const Entry* entry = take(key);
    if (!entry) return;
    value.clear();
    for (const Node& item : items_of(*entry, "a list of numbers")) {
      value.push_back(*parse_or_fail(*entry, item, parse_double, "a list of numbers"));
    }
  }

  void field(const char* key, std::vector<std::string>& value, const char*) override {
    const Entry* entry = take(key);
    if (!entry) return;
    value = texts_of(*entry, "a list of texts");
  }

  void field(const char* key, std::map<std::string, std::string>& value, const char*) override {
    const Entry* entry = take(key);
    if (!entry) return;
    constexpr const char* kWants = "a map of texts";
    if (entry->value.kind != Kind::kMap && entry->value.kind != Kind::kNull) {
      fail_type(*entry, entry->value, kWants);
    }
    if (!entry->value.partial) value.clear();
    for (auto& [name, text] : map_of(*entry, kWants)) value[name] = std::move(text);
  }

  // The words are checked by validate(), which also sees values that no file gave.
  void choice(const char* key, std::string& value, const std::vector<std::string>& words,
              const char*) override {
    const Entry* entry = take(key);
    if (!entry) return;
    value = text_of(*entry, entry->value, "one of " + join(words, ", "));
  }

  void section(const char* key, Section& section, const char*) override {
    const Entry* entry = take(key);
    if (!entry || entry->value.kind == Kind::kNull) return;  // all keys commented out
    if (entry->value.kind != Kind::kMap) fail_type(*entry, entry->value, "a map of keys");
    Reader reader(entry->value, dotted(key), folder_, all_keys_);
    section.bind(reader);
    reader.refuse_unknown();
  }

  void field(const char* key, Flexible& value, const char*) override {
    const Entry* entry = take(key);
    if (!entry) return;
    try {
      parse_flexible(*entry, value);
    } catch (const std::invalid_argument& e) {
      fail(*entry, e.what());
    }
    value.resolve_paths(folder_);
  }

  void refuse_unknown() const {
    for (const Entry& entry : map_.entries) {
      if (std::find(known_.begin(), known_.end(), entry.key) != known_.end()) continue;
      throw UsageError(fmt::format("{}: {}: unknown key", entry.where, dotted(entry.key)), "",
                       hint(entry.key));
    }
  }

 private:
  std::string dotted(const std::string& key) const {
    return path_.empty() ? key : path_ + "." + key;
  }

  const Entry* take(const char* key) {
    known_.emplace_back(key);
    return map_.find(key);
  }

  [[noreturn]] void fail(const Entry& entry, const std::string& reason) const {
    throw UsageError(fmt::format("{}: {}: {}", entry.where, dotted(entry.key), reason));
  }
  [[noreturn]] void fail_type(const Entry& entry, const Node& got, const std::string& wants) const {
    fail(entry, fmt::format("wants {}, got {}", wants, describe(got)));
  }

  const std::string& text_of(const Entry& entry, const Node& node, const std::string& wants) const {
    if (node.kind != Kind::kScalar) fail_type(entry, node, wants);
    return node.text;
  }

  template <class T>
  std::optional<T> parse_or_fail(const Entry& entry, const Node& node,
                                 std::optional<T> (*parse)(std::string_view),
                                 const char* wants) const {
    std::optional<T> parsed;
    if (node.kind == Kind::kScalar && !node.quoted) parsed = parse(node.text);
    if (!parsed) fail_type(entry, node, wants);
    return parsed;
  }

  template <class T>
  void read_scalar(const char* key, T& value, std::optional<T> (*parse)(std::string_view),
                   const char* wants) {
    const Entry* entry = take(key);
    if (entry) value = *parse_or_fail(*entry, entry->value, parse, wants);
  }
  template <class T>
  void read_scalar(const char* key, std::optional<T>& value,
                   std::optional<T> (*parse)(std::string_view), const char* wants) {
    const Entry* entry = take(key);
    if (!entry) return;
    value.reset();
    if (entry->value.kind != Kind::kNull) {
      value = parse_or_fail(*entry, entry->value, parse, wants);
    }
  }

  // A single scalar is a list of one; null is an empty list.
  std::vector<Node> items_of(const Entry& entry, const char* wants) const {
    switch (entry.value.kind) {
      case Kind::kNull:
        return {};
      case Kind::kScalar:
        return {entry.value};
      case Kind::kList:
        return entry.value.items;
      case Kind::kMap:
        break;
    }
    fail_type(entry, entry.value, wants);
  }

  std::vector<std::string> texts_of(const Entry& entry, const char* wants) const {
    std::vector<std::string> texts;
    for (const Node& item : items_of(entry, wants)) texts.push_back(text_of(entry, item, wants));
    return texts;
  }

  std::map<std::string, std::string> map_of(const Entry& entry, const char* wants) const {
    std::map<std::string, std::string> items;
    for (const Entry& inner : entry.value.entries) {
      items[inner.key] = text_of(entry, inner.value, wants);
    }
    return items;
  }

  void parse_flexible(const Entry& entry, Flexible& value) const {
    switch (entry.value.kind) {
      case Kind::kNull:
        if (value.parse_null()) return;
        fail(entry, "has no value");
      case Kind::kScalar:
        return value.parse_scalar(entry.value.text);
      case Kind::kList:
        return value.parse_list(texts_of(entry, "a list of plain values"));
      case Kind::kMap:
        break;
    }
    std::map<std::string, std::string> items;
    if (entry.value.partial) {  // --set train.keep.last=3 leaves train.keep.best as it is
      const Node old = parse_yaml(value.dump(), dotted(entry.key));
      for (const Entry& inner : old.entries) items[inner.key] = inner.value.text;
    }
    for (auto& [name, text] : map_of(entry, "a map of plain values")) items[name] = text;
    value.parse_map(items);
  }

  // What an unknown key may have meant: a neighbour, the same word elsewhere, or the list of
  // neighbours.
  std::string hint(const std::string& key) const {
    if (const std::string near = nearest(key, known_); !near.empty()) {
      return fmt::format("did you mean {}?", dotted(near));
    }
    std::vector<std::string> elsewhere;
    for (const std::string& other : all_keys_) {
      if (other.substr(other.rfind('.') + 1) == key) elsewhere.push_back(other);
    }
    if (!elsewhere.empty()) return fmt::format("did you mean {}?", join(elsewhere, " or "));
    return "known here: " + join(known_, ", ");
  }

  const Node& map_;
  std::string path_;
  const std::filesystem::path& folder_;
  const std::vector<std::string>& all_keys_;
  std::vector<std::string> known_;
};

}  // namespace

void read_section(Section& section, const Node& tree, const std::filesystem::path& folder) {
  if (tree.kind != Kind::kMap) {
    throw UsageError(fmt::format("{}: wants a map of keys, got {}", tree.where, describe(tree)));
  }
  const std::vector<std::string> all_keys = dotted_keys(section);
  Reader reader(tree, "", folder, all_keys);
  section.bind(reader);
  reader.refuse_unknown();
}

std::filesystem::path resolve_path(const std::string& text, const std::filesystem::path& folder) {
  std::filesystem::path path = text;
  const char* home = std::getenv("HOME");
  if (home && text.starts_with("~/")) path = std::filesystem::path(home) / text.substr(2);
  if (path.empty()) return path;
  path = (folder / path).lexically_normal();
  if (!path.has_filename() && path.has_relative_path()) path = path.parent_path();
  return path;
}

}  // namespace ttsft::config
