#include "src/cli/command.h"

#include <iostream>
#include <sstream>

#include "ttsft/core/error.h"
#include "ttsft/core/log.h"
#include "ttsft/model/registry.h"

namespace ttsft {

using nlohmann::ordered_json;

void add_run_arguments(CLI::App& command, RunArguments& arguments) {
  command.add_option("RUN.yaml", arguments.file, "the run file")->required()->type_name("");
  command
      .add_option("--set", arguments.overrides, "replaces one key of the run file; may be repeated")
      ->type_name("KEY.PATH=VALUE")
      ->allow_extra_args(false);
  command.add_flag("--json", arguments.json, "the result as one JSON object");
  command.add_flag("--dry-run", arguments.dry_run,
                   "prints the resolved run file and what would be done; writes nothing");
  command.add_flag("--quiet", arguments.quiet, "only warnings, errors and the result");
}

Run open_run(const RunArguments& arguments) {
  init_logging(arguments.quiet);
  RunConfig config = load_run(arguments.file, arguments.overrides, model_lookup());
  const ModelAdapter& adapter = find_model(config.model);
  return {std::move(config), adapter};
}

void print_run_result(const RunArguments& arguments, const RunConfig& config,
                      const ordered_json& result, const std::string& words) {
  if (!arguments.dry_run) {
    if (arguments.json) return print(result);
    return print(words);
  }
  const std::string yaml = dump_run(config);
  if (arguments.json) return print({{"dry_run", true}, {"config", yaml}, {"plan", result}});
  std::string text = yaml + (yaml.ends_with('\n') ? "" : "\n") + "\n# The plan:\n";
  std::istringstream lines(words);
  for (std::string line; std::getline(lines, line);) text += "# " + line + "\n";
  print(text);
}

void print(const std::string& text) {
  std::cout << text;
  if (!text.ends_with('\n')) std::cout << '\n';
  if (!std::cout.flush()) throw RunError("cannot write the result", "standard output");
}

void print(const ordered_json& json) {
  print(json.dump(2, ' ', /*ensure_ascii=*/false, ordered_json::error_handler_t::replace));
}

}  // namespace ttsft
