// The command line: ttsft <prep|train|eval|synth|export|models|inspect|config>. One cmd_<name>.cpp
// per subcommand in src/cli.
#pragma once

namespace ttsft {

// Parses, runs and reports. Results go to stdout, one line per error to stderr. Returns the exit
// code: 0 done, 1 the run failed, 2 wrong usage, 3 bad data, 4 a check fell short, 128 + signal
// stopped after saving.
int run_cli(int argc, const char* const* argv);

}  // namespace ttsft
