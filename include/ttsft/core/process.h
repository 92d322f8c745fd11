// Which process a file belongs to, so that leftovers of a killed one can be told from the work of a
// live one, also where several machines or containers share a volume.
#pragma once

#include <string>
#include <string_view>

namespace ttsft {

// "<place>-<process id>" of this process. The place is a number of the running kernel and of the
// process namespace: within it process ids can be asked for.
std::string process_identity();

enum class ProcessState {
  kRuns,
  kGone,     // it was of this place and there is no such process any more
  kUnknown,  // of another place, or no identity at all
};
// identity: as process_identity() gives it; what follows behind another '-' does not count.
ProcessState state_of_process(std::string_view identity);

}  // namespace ttsft
