// What the subcommands share: their common arguments and the way they print.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "ttsft/config/run_config.h"
#include "ttsft/model/adapter.h"

namespace ttsft {

// Set by the subcommand that was given; called when the whole command line has been understood.
using Action = std::function<void()>;

// RUN.yaml [--set key.path=value]... [--json] [--dry-run] [--quiet]
struct RunArguments {
  std::filesystem::path file;
  std::vector<std::string> overrides;
  bool json = false, dry_run = false, quiet = false;
};
void add_run_arguments(CLI::App& command, RunArguments& arguments);

// The checked run file with its model. Settles how loud the log is.
struct Run {
  RunConfig config;
  const ModelAdapter& adapter;
};
Run open_run(const RunArguments& arguments);

// One JSON object, or the engine's words. A dry run shows the resolved run file, and the plan below
// it as comments: the output is a run file again.
void print_run_result(const RunArguments& arguments, const RunConfig& config,
                      const nlohmann::ordered_json& result, const std::string& words);

// Text to stdout as it is; JSON with what is not UTF-8 replaced. RunError when stdout is full.
void print(const std::string& text);
void print(const nlohmann::ordered_json& json);

void add_curate(CLI::App& app, Action& action);
void add_prep(CLI::App& app, Action& action);
void add_train(CLI::App& app, Action& action);
void add_eval(CLI::App& app, Action& action);
void add_synth(CLI::App& app, Action& action);
void add_export(CLI::App& app, Action& action);
void add_models(CLI::App& app, Action& action);
void add_inspect(CLI::App& app, Action& action);
void add_config(CLI::App& app, Action& action);

}  // namespace ttsft
