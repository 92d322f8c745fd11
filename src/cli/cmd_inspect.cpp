#include "src/cli/command.h"
#include "src/cli/inspect.h"

namespace ttsft {

void add_inspect(CLI::App& app, Action& action) {
  struct Arguments {
    std::filesystem::path path;
    bool json = false;
  };
  CLI::App* command = app.add_subcommand(
      "inspect",
      "says what a checkpoint, an adapter, a prepared set, a run or a tensor file holds");
  auto arguments = std::make_shared<Arguments>();
  command
      ->add_option("PATH", arguments->path,
                   "a folder, or a file of weights (.safetensors, .pt, .pth, .bin)")
      ->required()
      ->type_name("");
  command->add_flag("--json", arguments->json, "the answer as one JSON object");
  command->callback([arguments, &action] {
    action = [arguments] {
      const nlohmann::ordered_json found = inspect(arguments->path);
      if (arguments->json) return print(found);
      print(describe_inspection(found));
    };
  });
}

}  // namespace ttsft
