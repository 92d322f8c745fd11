// Work on several CPU threads.
#pragma once

#include <cstdint>
#include <functional>

namespace ttsft {

int cpu_threads();  // cores this process may use

// Calls fn(i) for i in [0, n) on up to `threads` threads and waits; the first exception is
// rethrown.
void parallel_for(int64_t n, int threads, const std::function<void(int64_t)>& fn);

}  // namespace ttsft
