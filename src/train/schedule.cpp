#include "ttsft/train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace ttsft {

int64_t warmup_steps(const ScheduleConfig& schedule, int64_t steps) {
  return std::min(schedule.warmup_steps, std::max<int64_t>(1, steps / 10));
}

double learning_rate_at(const ScheduleConfig& schedule, double peak, int64_t step, int64_t steps) {
  const int64_t warmup = warmup_steps(schedule, steps);
  if (step <= warmup) return peak * static_cast<double>(step) / static_cast<double>(warmup);
  if (schedule.name == "constant") return peak;
  const double done = static_cast<double>(step - warmup - 1) /
                      static_cast<double>(std::max<int64_t>(1, steps - warmup));
  if (schedule.name == "linear") return peak * (1.0 - done);
  return peak * 0.5 * (1.0 + std::cos(std::numbers::pi * done));
}

}  // namespace ttsft
