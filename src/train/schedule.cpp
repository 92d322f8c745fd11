#include "ttsft/train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace ttsft {

double learning_rate_at(const ScheduleConfig& schedule, double peak, int64_t step, int64_t steps) {
  const int64_t warmup = std::min(schedule.warmup_steps, steps);
  if (step <= warmup) return peak * static_cast<double>(step) / static_cast<double>(warmup);
  if (schedule.name == "constant") return peak;
  const double done = static_cast<double>(step - warmup - 1) /
                      static_cast<double>(std::max<int64_t>(1, steps - warmup));
  if (schedule.name == "linear") return peak * (1.0 - done);
  return peak * 0.5 * (1.0 + std::cos(std::numbers::pi * done));
}

}  // namespace ttsft
