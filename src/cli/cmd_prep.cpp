#include "src/cli/command.h"
#include "ttsft/prep/prep.h"

namespace ttsft {

void add_prep(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand("prep", "turns recordings and texts into a training set");
  auto arguments = std::make_shared<RunArguments>();
  add_run_arguments(*command, *arguments);
  command->callback([arguments, &action] {
    action = [arguments] {
      const Run run = open_run(*arguments);
      const auto result = run_prep(run.config, run.adapter, {.dry_run = arguments->dry_run});
      print_run_result(*arguments, run.config, result, describe_prep(result));
    };
  });
}

}  // namespace ttsft
