#include "src/cli/command.h"
#include "ttsft/model/registry.h"

namespace ttsft {

void add_config(CLI::App& app, Action& action) {
  CLI::App* command =
      app.add_subcommand("config", "prints a run file with every key, its default and a comment");
  auto model = std::make_shared<std::string>();
  command->add_option("MODEL", *model, "a name from `ttsft models`")->required()->type_name("");
  command->callback([model, &action] {
    action = [model] { print(dump_run(default_run(*model), /*comments=*/true)); };
  });
}

}  // namespace ttsft
