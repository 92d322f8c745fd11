#include "src/cli/command.h"
#include "ttsft/train/train.h"

namespace ttsft {

void add_train(CLI::App& app, Action& action) {
  struct Arguments : RunArguments {
    bool fresh = false;
  };
  CLI::App* command =
      app.add_subcommand("train", "fine-tunes on a prepared set, or continues an earlier run");
  auto arguments = std::make_shared<Arguments>();
  add_run_arguments(*command, *arguments);
  command->add_flag("--fresh", arguments->fresh, "wants an empty run folder: never continues");
  command->callback([arguments, &action] {
    action = [arguments] {
      const Run run = open_run(*arguments);
      const auto result = run_train(run.config, run.adapter,
                                    {.fresh = arguments->fresh, .dry_run = arguments->dry_run});
      print_run_result(*arguments, run.config, result, describe_train(result));
    };
  });
}

}  // namespace ttsft
