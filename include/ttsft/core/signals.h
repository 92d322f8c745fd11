// SIGINT, SIGTERM, SIGHUP (a closed session) and SIGUSR1 (a batch system's warning before its time
// limit): a flag that loops look at between steps. A second SIGINT or SIGTERM leaves at once with
// 128 + signal; the first one after a SIGHUP or SIGUSR1 does not, because batch systems send both.
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
