// The keys that YAML may write in several ways.
#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "src/config/reader.h"
#include "src/config/yaml_text.h"
#include "ttsft/config/run_config.h"
#include "ttsft/core/strings.h"

namespace ttsft {
namespace {

using Texts = std::vector<std::string>;
using TextMap = std::map<std::string, std::string>;

}  // namespace

// --- data.validation

void ValidationChoice::parse_scalar(const std::string& text) {
  const auto number = config::parse_double(text);
  if (!number) {
    if (text.empty()) throw std::invalid_argument("wants a share in [0, 1) or a file, got nothing");
    list = text;
    return;
  }
  if (*number < 0 || *number >= 1) {
    throw std::invalid_argument(
        fmt::format("wants a share in [0, 1), got {}; 0.02 holds back one clip in fifty", text));
  }
  share = *number;
  list.clear();
}
void ValidationChoice::parse_list(const Texts&) {
  throw std::invalid_argument(
      "wants a share in [0, 1) or a file, got a list; write the ids into a file, one a line");
}
void ValidationChoice::parse_map(const TextMap&) {
  throw std::invalid_argument("wants a share in [0, 1) or a file, got a map");
}
std::string ValidationChoice::dump() const {
  return list.empty() ? config::yaml_text(share) : config::yaml_text(list);
}
void ValidationChoice::resolve_paths(const std::filesystem::path& folder) {
  list = config::resolve_path(list.string(), folder);
}

// --- data.source

SourceChoice& SourceChoice::operator=(const std::filesystem::path& path) {
  paths = {path};
  return *this;
}
std::string SourceChoice::text() const {
  Texts texts;
  for (const auto& path : paths) texts.push_back(path.string());
  return join(texts, ", ");
}
void SourceChoice::parse_scalar(const std::string& text) {
  paths.clear();
  if (!text.empty()) paths = {text};
}
void SourceChoice::parse_list(const Texts& items) {
  if (items.empty() || std::find(items.begin(), items.end(), "") != items.end())
    throw std::invalid_argument("wants a path or a list of paths, got nothing");
  paths.assign(items.begin(), items.end());
}
void SourceChoice::parse_map(const TextMap&) {
  throw std::invalid_argument("wants a path or a list of paths, got a map");
}
bool SourceChoice::parse_null() {
  paths.clear();
  return true;
}
std::string SourceChoice::dump() const {
  if (paths.empty()) return "null";
  if (paths.size() == 1) return config::yaml_text(paths.front());
  Texts texts;
  for (const auto& path : paths) texts.push_back(path.string());
  return config::yaml_text(texts);
}
void SourceChoice::resolve_paths(const std::filesystem::path& folder) {
  for (auto& path : paths) path = config::resolve_path(path.string(), folder);
}

// --- data.reference

ReferenceChoice& ReferenceChoice::operator=(const std::filesystem::path& path) {
  by_speaker.clear();
  file = path;
  return *this;
}
void ReferenceChoice::clear() {
  file.clear();
  by_speaker.clear();
}
bool ReferenceChoice::parse_null() {
  clear();
  return true;
}
void ReferenceChoice::parse_scalar(const std::string& text) {
  by_speaker.clear();
  file = text;
}
void ReferenceChoice::parse_list(const Texts&) {
  throw std::invalid_argument("wants a recording or {speaker: recording}, got a list");
}
void ReferenceChoice::parse_map(const TextMap& items) {
  clear();
  for (const auto& [speaker, recording] : items) {
    if (recording.empty())
      throw std::invalid_argument(fmt::format("names no recording of `{}`", speaker));
    by_speaker[speaker] = recording;
  }
}
std::string ReferenceChoice::dump() const {
  if (by_speaker.empty()) return config::yaml_text(file);
  TextMap items;
  for (const auto& [speaker, recording] : by_speaker) items[speaker] = recording.string();
  return config::yaml_text(items);
}
void ReferenceChoice::resolve_paths(const std::filesystem::path& folder) {
  if (!file.empty()) file = config::resolve_path(file.string(), folder);
  for (auto& [speaker, recording] : by_speaker)
    recording = config::resolve_path(recording.string(), folder);
}

// --- auto, or a number

void AutoNumber::parse_scalar(const std::string& text) {
  if (text == "auto") {
    value.reset();
    return;
  }
  const auto number = config::parse_double(text);
  if (!number || !(*number > 0)) {
    throw std::invalid_argument(fmt::format("wants auto or a number above 0, got `{}`", text));
  }
  value = number;
}
void AutoNumber::parse_list(const Texts&) {
  throw std::invalid_argument("wants auto or a number above 0, got a list");
}
void AutoNumber::parse_map(const TextMap&) {
  throw std::invalid_argument("wants auto or a number above 0, got a map");
}
std::string AutoNumber::dump() const {
  return value ? config::yaml_text(*value) : "auto";
}

// --- train.keep

void KeepChoice::parse_scalar(const std::string& text) {
  if (text != "all") {
    throw std::invalid_argument(fmt::format("wants all, or {{last: N, best: K}}, got `{}`", text));
  }
  *this = KeepChoice();
}
void KeepChoice::parse_list(const Texts&) {
  throw std::invalid_argument("wants all, or {last: N, best: K}, got a list");
}
void KeepChoice::parse_map(const TextMap& items) {
  if (items.empty()) throw std::invalid_argument("wants last, best or both in its map");
  KeepChoice parsed;
  parsed.all = false;
  for (const auto& [key, text] : items) {
    if (key != "last" && key != "best") {
      throw std::invalid_argument(fmt::format("knows last and best, not `{}`", key));
    }
    const auto count = config::parse_int(text);
    if (!count || *count < 0) {
      throw std::invalid_argument(
          fmt::format("wants a count of at least 0 for {}, got `{}`", key, text));
    }
    (key == "last" ? parsed.last : parsed.best) = *count;
  }
  *this = parsed;
}
std::string KeepChoice::dump() const {
  return all ? "all" : fmt::format("{{last: {}, best: {}}}", last, best);
}

// --- lora.targets

void TargetChoice::parse_scalar(const std::string& text) {
  if (text.empty()) throw std::invalid_argument("wants names or a regular expression, got nothing");
  endings.clear();
  regex.clear();
  // A role is no module's path, so that it cannot be meant as a regular expression.
  if (text == "attention" || text == "mlp") {
    endings = {text};
  } else {
    regex = text;
  }
}
void TargetChoice::parse_list(const Texts& items) {
  endings = items;
  regex.clear();
}
void TargetChoice::parse_map(const TextMap&) {
  throw std::invalid_argument(
      "wants a list of module names or roles, or one regular expression, got a map");
}
std::string TargetChoice::dump() const {
  return regex.empty() ? config::yaml_text(endings) : config::yaml_text(regex);
}

// --- eval.checkpoints

std::pair<std::string, std::string> split_stage(const std::string& name) {
  const size_t at = name.find('=');
  const bool word =
      at != std::string::npos && at > 0 &&
      std::all_of(name.begin(), name.begin() + static_cast<std::ptrdiff_t>(at), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
      });
  if (!word || std::filesystem::exists(name)) return {"", name};
  return {name.substr(0, at), name.substr(at + 1)};
}

void CheckpointChoice::parse_scalar(const std::string& text) {
  parse_list({text});
}
void CheckpointChoice::parse_list(const Texts& items) {
  if (items.empty() || std::find(items.begin(), items.end(), "") != items.end()) {
    throw std::invalid_argument("wants all, base, last, best, step-N or folders, got nothing");
  }
  names = items;
}
void CheckpointChoice::parse_map(const TextMap&) {
  throw std::invalid_argument("wants one name or a list of names, got a map");
}
std::string CheckpointChoice::dump() const {
  return names.size() == 1 ? config::yaml_text(names.front()) : config::yaml_text(names);
}
void CheckpointChoice::resolve_paths(const std::filesystem::path& folder) {
  const Texts words = {"all", "base", "last", "best"};
  for (std::string& name : names) {
    const bool whole = std::filesystem::exists(config::resolve_path(name, folder));
    const auto [stage, plain] = whole ? std::pair(std::string(), name) : split_stage(name);
    const bool word = std::find(words.begin(), words.end(), plain) != words.end();
    const bool step =
        plain.starts_with("step-") && plain.find_first_not_of("0123456789", 5) == std::string::npos;
    if (word || step || plain.empty()) continue;
    name = (stage.empty() ? "" : stage + "=") + config::resolve_path(plain, folder).string();
  }
}

}  // namespace ttsft
