#include "src/cli/command.h"
#include "ttsft/eval/eval.h"

namespace ttsft {

void add_eval(CLI::App& app, Action& action) {
  CLI::App* command =
      app.add_subcommand("eval", "measures the base and every checkpoint, and ranks them");
  auto arguments = std::make_shared<RunArguments>();
  add_run_arguments(*command, *arguments);
  command->callback([arguments, &action] {
    action = [arguments] {
      const Run run = open_run(*arguments);
      const auto result = run_eval(run.config, run.adapter, {.dry_run = arguments->dry_run});
      print_run_result(*arguments, run.config, result, describe_eval(result));
    };
  });
}

}  // namespace ttsft
