// The learning rate of each optimizer step.
#pragma once

#include <cstdint>

#include "ttsft/config/run_config.h"

namespace ttsft {

// Steps of the warm-up: at most a tenth of the run (and one step). A hundred, in a pilot of eight,
// would leave the rate at 8 % of its peak, and the pilot would learn nothing.
int64_t warmup_steps(const ScheduleConfig& schedule, int64_t steps);

// Warm-up rises linearly and reaches the peak with its last step: peak * step / warmup. Afterwards,
// with p = (step - warmup - 1) / (steps - warmup): constant: peak; linear: peak * (1 - p); cosine:
// peak * (1 + cos(pi p)) / 2. So no step is wasted on a rate of zero. step counts from 1 to steps.
double learning_rate_at(const ScheduleConfig& schedule, double peak, int64_t step, int64_t steps);

}  // namespace ttsft
