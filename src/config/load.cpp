// From a run file and flags to a checked configuration: model's preset, then the file, then the
// flags.
#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "src/config/dumper.h"
#include "src/config/reader.h"
#include "src/config/tree.h"
#include "ttsft/config/run_config.h"
#include "ttsft/core/error.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;
using config::Entry;
using config::Node;

// Trees that count as one voice: the file, or all flags together.
using Layer = std::vector<Node>;

std::string read_text(const fs::path& file) {
  std::error_code ignored;
  if (!fs::exists(file, ignored)) {
    throw UsageError("no such run file", file.string(),
                     "`ttsft config MODEL` prints one to start from");
  }
  if (fs::is_directory(file, ignored)) {
    throw UsageError("is a folder, not a run file", file.string());
  }
  std::ifstream in(file, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  if (!in || text.bad()) {
    throw UsageError(fmt::format("cannot read the run file: {}", std::strerror(errno)),
                     file.string());
  }
  return text.str();
}

// The last place that wrote the key, or null.
const Entry* last_entry(const std::vector<const Layer*>& layers, const std::string& key) {
  const Entry* found = nullptr;
  for (const Layer* layer : layers) {
    for (const Node& tree : *layer) {
      if (const Entry* entry = tree.find_path(key)) found = entry;
    }
  }
  return found;
}

// Who gives one of two keys that exclude each other displaces the other one of a layer below: a
// file's batch_utterances stands against a preset's batch_tokens. Both in one layer remain an
// error.
template <class A, class B>
void displace(const Layer& layer, const char* key_a, std::optional<A>& a, const char* key_b,
              std::optional<B>& b) {
  const Entry* entry_a = last_entry({&layer}, key_a);
  const Entry* entry_b = last_entry({&layer}, key_b);
  const auto given = [](const Entry* entry) {
    return entry && entry->value.kind != Node::Kind::kNull;
  };
  if (given(entry_a) && !entry_b) b.reset();
  if (given(entry_b) && !entry_a) a.reset();
}

void read_layer(RunConfig& config, const Layer& layer, const fs::path& folder) {
  TrainConfig& train = config.train;
  displace(layer, "train.steps", train.steps, "train.epochs", train.epochs);
  displace(layer, "train.batch_tokens", train.batch_tokens, "train.batch_utterances",
           train.batch_utterances);
  for (const Node& tree : layer) config::read_section(config, tree, folder);
}

void fill_plan(TrainConfig& train) {
  constexpr int64_t kSteps = 1000, kBatchTokens = 8192;
  if (!train.steps && !train.epochs) train.steps = kSteps;
  if (!train.batch_tokens && !train.batch_utterances) train.batch_tokens = kBatchTokens;
}

// Keys with a value, sections by the keys below them. An empty value (`rank:`) says nothing.
void collect_given(const Node& node, const std::string& path, std::set<std::string>& given) {
  for (const Entry& entry : node.entries) {
    const std::string key = path.empty() ? entry.key : path + "." + entry.key;
    if (entry.value.kind == Node::Kind::kMap) {
      collect_given(entry.value, key, given);
    } else if (entry.value.kind != Node::Kind::kNull) {
      given.insert(key);
    }
  }
}

RunConfig with_model_defaults(const std::string& model, const ModelLookup& lookup) {
  RunConfig config;
  config.model = model;
  ModelDefaults defaults = lookup(model);
  config.model_options = std::move(defaults.options);
  if (defaults.preset) defaults.preset(config);
  return config;
}

std::string model_name(const Entry* entry, const fs::path& file) {
  if (!entry) {
    throw UsageError("model: key is missing", file.string(), "`ttsft models` lists the names");
  }
  const Node& value = entry->value;
  if (value.kind != Node::Kind::kScalar || value.text.empty()) {
    throw UsageError(fmt::format("{}: model: wants a name, got {}", entry->where, describe(value)),
                     "", "`ttsft models` lists the names");
  }
  return value.text;
}

// Puts the place of its key before an error that begins with one: "train.steps: must be ...".
UsageError with_place(const UsageError& error, const std::vector<const Layer*>& layers,
                      const fs::path& file) {
  const std::string line = error.what();
  const Entry* entry = last_entry(layers, line.substr(0, line.find(": ")));
  return UsageError(fmt::format("{}: {}", entry ? entry->where : file.string(), line));
}

}  // namespace

RunConfig load_run(const fs::path& file, const std::vector<std::string>& overrides,
                   const ModelLookup& lookup) {
  const Layer from_file = {config::parse_yaml(read_text(file), file.string())};
  Layer from_flags;
  for (const std::string& text : overrides) from_flags.push_back(config::parse_override(text));
  const std::vector<const Layer*> layers = {&from_file, &from_flags};

  const Entry* model = last_entry(layers, "model");
  const std::string name = model_name(model, file);
  RunConfig config;
  try {
    config = with_model_defaults(name, lookup);
  } catch (const UsageError& e) {
    throw UsageError(fmt::format("{}: model: {}", model->where, e.what()));
  }
  config.file = fs::absolute(file).lexically_normal();
  read_layer(config, from_file, config.file.parent_path());
  read_layer(config, from_flags, fs::current_path());
  fill_plan(config.train);
  for (const Layer* layer : layers) {
    for (const Node& tree : *layer) collect_given(tree, "", config.given);
  }
  try {
    config.validate();
  } catch (const UsageError& e) {
    throw with_place(e, layers, file);
  }
  return config;
}

RunConfig default_run(const std::string& model, const ModelLookup& lookup) {
  RunConfig config = with_model_defaults(model, lookup);
  fill_plan(config.train);
  return config;
}

std::string dump_run(const RunConfig& config, bool comments) {
  RunConfig copy = config;  // bind() may write
  std::string text;
  if (comments) {
    text = fmt::format(
        "# Every key of a run file for {}. The values are the defaults: leave out what you do not "
        "change.\n# Relative paths start at this file's folder.\n\n",
        config.model);
  }
  return text + config::dump_section(copy, comments);
}

void require(const RunConfig& config, const fs::path& value, const std::string& key) {
  if (!value.empty()) return;
  throw UsageError(fmt::format("{}: key is missing", key), config.file.string(),
                   fmt::format("add it, or give --set {}=PATH", key));
}

}  // namespace ttsft
