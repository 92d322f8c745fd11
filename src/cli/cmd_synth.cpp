#include "src/cli/command.h"
#include "ttsft/core/error.h"
#include "ttsft/core/log.h"
#include "ttsft/core/strings.h"
#include "ttsft/synth/synth.h"

namespace ttsft {

void add_synth(CLI::App& app, Action& action) {
  struct Arguments : RunArguments {
    SynthOptions options;
  };
  CLI::App* command = app.add_subcommand("synth", "speaks a text into a wav file");
  auto arguments = std::make_shared<Arguments>();
  add_run_arguments(*command, *arguments);
  SynthOptions& options = arguments->options;
  command->add_option("--text", options.text, "what to say")->type_name("TEXT");
  command->add_option("--texts", options.texts, "a text per line, or id|text; --out is a folder")
      ->type_name("FILE");
  command->add_option("--out", options.out, "the wav file to write; -: standard output")
      ->type_name("WAV");
  command->add_flag("--stream", options.stream, "writes the wav while it is made");
  command->add_flag("--raw", options.raw, "samples without a wav header");
  command
      ->add_option("--checkpoint", options.checkpoints,
                   "base (the default), last, best, step-N or a folder; once for each stage, "
                   "as lm=best flow=DIR")
      ->allow_extra_args(false)
      ->type_name("[STAGE=]NAME");
  command->add_option("--lora-scale", options.lora_scale, "strength of the adapter; 0: the base")
      ->type_name("X");
  command->add_flag("--greedy", options.greedy,
                    "the likeliest token after penalties and suppressions, in sub-models too");
  command->add_option("--max-frames", options.max_frames, "frames to generate at most")
      ->type_name("N");
  command->add_option("--codes-out", options.codes_out, "also writes the generated tokens")
      ->type_name("FILE");
  command->add_option("--codes-in", options.codes_in, "decodes these tokens; needs no text")
      ->type_name("FILE");
  command->add_option("--noise", options.noise, "recorded random tensors in place of our own")
      ->type_name("FILE");
  command->callback([arguments, &action] {
    action = [arguments] {
      const Run run = open_run(*arguments);
      arguments->options.dry_run = arguments->dry_run;
      const bool to_stdout = arguments->options.out == "-";
      if (to_stdout && arguments->json)
        throw UsageError("standard output carries the sound", "--json", "name a file in --out");
      const auto result = run_synth(run.config, run.adapter, arguments->options);
      if (to_stdout) {
        log_info(trim(describe_synth(result)));
        return;
      }
      print_run_result(*arguments, run.config, result, describe_synth(result));
    };
  });
}

}  // namespace ttsft
