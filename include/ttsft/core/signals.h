// First SIGINT or SIGTERM: a flag that loops look at between steps. Second: leave at once with 128
// + signal.
#pragma once

namespace ttsft {

void install_signal_handlers();
int stop_signal();  // 0, or the signal that asked for a stop
void clear_stop_signal();

// Thrown by an engine after it has saved; main turns it into exit code 128 + signal.
struct Stopped {
  int signal;
};

}  // namespace ttsft
