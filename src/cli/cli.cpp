#include "ttsft/cli/cli.h"

#include <cstdlib>
#include <iostream>
#include <new>

#include "src/cli/command.h"
#include "ttsft/core/error.h"
#include "ttsft/core/log.h"
#include "ttsft/core/signals.h"
#include "ttsft/core/strings.h"
#include "ttsft/core/threads.h"
#include "ttsft/core/version.h"
#include "ttsft/nn/device.h"

namespace ttsft {
namespace {

std::string version_text() {
  return std::string("ttsft ") + version() + "\n" + torch_description();
}

std::string first_line(const std::string& text) {
  return text.substr(0, text.find('\n'));
}

std::vector<std::string> command_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands({})) names.push_back(command->get_name());
  return names;
}

// CLI11 would call an unknown command an unexpected argument.
void check_command(const CLI::App& app, int argc, const char* const* argv) {
  const std::vector<std::string> known = command_names(app);
  if (argc < 2) {
    throw UsageError("no command", "ttsft",
                     "use one of " + join(known, ", ") + "; `ttsft --help` explains them");
  }
  const std::string name = argv[1];
  if (name.starts_with('-') || std::find(known.begin(), known.end(), name) != known.end()) return;
  const std::string near = nearest(name, known);
  throw UsageError("unknown command '" + name + "'", {},
                   near.empty() ? "use one of " + join(known, ", ") : "did you mean " + near + "?");
}

// One line from CLI11's complaint, with the nearest known flag for one that is not known.
UsageError usage_error(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App& command = app.get_subcommands().empty() ? app : *app.get_subcommands().front();
  const std::string help = "see `" + std::string(&command == &app ? "ttsft" : "ttsft ") +
                           (&command == &app ? "" : command.get_name()) + " --help`";
  const std::vector<std::string> unexpected = command.remaining();
  if (unexpected.empty()) return UsageError(error.what(), {}, help);
  std::vector<std::string> flags;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) flags.push_back("--" + name);
  }
  const std::string near = nearest(unexpected.front(), flags);
  return UsageError("unexpected argument '" + unexpected.front() + "'", {},
                    near.empty() ? help : "did you mean " + near + "?");
}

// Returns what to do, or nothing when help or the version was printed.
Action parse(int argc, const char* const* argv) {
  Action action;
  CLI::App app{"Fine-tunes and runs text-to-speech models.", "ttsft"};
  app.set_version_flag("--version", version_text, "the version, with LibTorch and CUDA");
  app.require_subcommand(1);
  add_curate(app, action);
  add_prep(app, action);
  add_train(app, action);
  add_eval(app, action);
  add_synth(app, action);
  add_export(app, action);
  add_models(app, action);
  add_inspect(app, action);
  add_config(app, action);
  check_command(app, argc, argv);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& request) {  // --help, --version
    app.exit(request, std::cout, std::cerr);
    return {};
  } catch (const CLI::ParseError& error) {
    throw usage_error(app, error);
  }
  return action;
}

int fail(ExitCode code, const std::string& line) {
  log_error(line);
  return static_cast<int>(code);
}

}  // namespace

int run_cli(int argc, const char* const* argv) {
  init_logging(/*quiet=*/false);
  try {
    install_signal_handlers();
    const Action action = parse(argc, argv);
    if (!action) return 0;
    if (!std::getenv("OMP_NUM_THREADS")) torch::set_num_threads(cpu_threads());
    action();
    return 0;
  } catch (const Stopped& stopped) {
    return 128 + stopped.signal;
  } catch (const Error& error) {
    return fail(error.code(), error.what());
  } catch (const c10::OutOfMemoryError& error) {
    return fail(ExitCode::kRunFailed,
                "out of device memory: " + first_line(error.what_without_backtrace()) +
                    "; make the batches smaller, or use a larger device");
  } catch (const c10::Error& error) {
    return fail(ExitCode::kRunFailed, "LibTorch: " + first_line(error.what_without_backtrace()));
  } catch (const std::bad_alloc&) {
    return fail(ExitCode::kRunFailed, "out of memory; make the batches smaller");
  } catch (const std::exception& error) {
    return fail(ExitCode::kRunFailed, "unexpected: " + first_line(error.what()));
  }
}

}  // namespace ttsft
