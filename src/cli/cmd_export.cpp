#include "src/cli/command.h"
#include "ttsft/export/export.h"

namespace ttsft {

void add_export(CLI::App& app, Action& action) {
  struct Arguments : RunArguments {
    ExportOptions options;
  };
  CLI::App* command =
      app.add_subcommand("export", "writes a complete checkpoint with the adapter merged");
  auto arguments = std::make_shared<Arguments>();
  add_run_arguments(*command, *arguments);
  ExportOptions& options = arguments->options;
  command->add_option("--out", options.out, "the folder to write")->required()->type_name("DIR");
  command
      ->add_option("--checkpoint", options.checkpoints,
                   "base, last, best, step-N or a folder; once for each stage, as lm=best "
                   "flow=DIR; without any best where there is one, else last")
      ->allow_extra_args(false)
      ->type_name("[STAGE=]NAME");
  command->add_option("--lora-scale", options.lora_scale, "strength of the adapter")
      ->type_name("X");
  command->callback([arguments, &action] {
    action = [arguments] {
      const Run run = open_run(*arguments);
      arguments->options.dry_run = arguments->dry_run;
      const auto result = run_export(run.config, run.adapter, arguments->options);
      print_run_result(*arguments, run.config, result, describe_export(result));
    };
  });
}

}  // namespace ttsft
