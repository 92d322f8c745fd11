#include "src/cli/command.h"
#include "ttsft/core/log.h"
#include "ttsft/curate/curate.h"

namespace ttsft {

void add_curate(CLI::App& app, Action& action) {
  CLI::App* command =
      app.add_subcommand("curate", "cuts long recordings into clips with texts, for prep");
  struct Arguments {
    CurateOptions options;
    bool json = false, quiet = false;
  };
  auto arguments = std::make_shared<Arguments>();
  CurateOptions& options = arguments->options;
  const auto option = [&](const char* name, auto& value, const char* help, const char* type) {
    return command->add_option(name, value, help)->type_name(type);
  };
  option("RECORDINGS", options.recordings, "files, and folders however deep", "")->required();
  option("--out", options.out, "where the table and the clips go", "DIR")->required();
  option("--transcripts", options.transcripts,
         "SRT, WebVTT, TextGrid or Whisper JSON by the recordings' names, or a Kaldi folder",
         "DIR");
  option("--speaker", options.speaker, "the name of who speaks most", "NAME");
  option("--voice", options.voice, "a clip of that speaker, where another speaks more", "FILE");
  option("--speakers", options.speakers, "how many voices are kept", "N");
  option("--speaker-encoder", options.speaker_encoder, "weights that tell voices apart", "FILE");
  option("--min-seconds", options.min_seconds, "of a clip, default 2", "S");
  option("--max-seconds", options.max_seconds, "of a clip, default 15", "S");
  option("--pause", options.pause, "that parts clips, default 0.4", "S");
  option("--margin", options.margin, "of the pause, kept on both sides, default 0.15", "S");
  option("--device", options.device, "auto, cpu, cuda or cuda:N", "D");
  command->add_flag("--json", arguments->json, "the result as one JSON object");
  command->add_flag("--dry-run", options.dry_run, "says what would be taken; writes nothing");
  command->add_flag("--quiet", arguments->quiet, "only warnings, errors and the result");
  command->callback([arguments, &action] {
    action = [arguments] {
      init_logging(arguments->quiet);
      const auto result = run_curate(arguments->options);
      if (arguments->json) return print(result);
      print(describe_curate(result));
    };
  });
}

}  // namespace ttsft
