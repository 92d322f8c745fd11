#include "ttsft/nn/flow_matching.h"

#include <cmath>
#include <numbers>
#include <stdexcept>

namespace ttsft {

std::vector<FlowStep> flow_steps(int64_t count, FlowSchedule schedule) {
  if (count < 1) throw std::logic_error("flow_steps: no steps");
  torch::Tensor grid = torch::linspace(0, 1, count + 1, torch::kFloat32);
  if (schedule == FlowSchedule::kCosine) grid = 1 - torch::cos(grid * (0.5 * std::numbers::pi));
  const float* t = grid.data_ptr<float>();
  std::vector<FlowStep> steps;
  float time = 0;
  for (int64_t i = 0; i < count; ++i) {
    const float dt = t[i + 1] - t[i];
    steps.push_back({schedule == FlowSchedule::kCosine ? t[i] : time, dt});
    time += dt;
  }
  return steps;
}

torch::Tensor flow_times(const std::vector<FlowStep>& steps, torch::Device device) {
  std::vector<float> times;
  for (const FlowStep& step : steps) times.push_back(step.time);
  return torch::tensor(times).to(device);
}

torch::Tensor solve_flow(torch::Tensor x, const std::vector<FlowStep>& steps, double guidance,
                         const FlowVelocity& velocity,
                         const std::function<void(torch::Tensor& x)>& after_step) {
  const int64_t rows = x.size(0);
  for (size_t i = 0; i < steps.size(); ++i) {
    torch::Tensor v = velocity(x, i);
    if (v.size(0) == 2 * rows) {
      v = v.narrow(0, 0, rows) * (1.0 + guidance) - v.narrow(0, rows, rows) * guidance;
    }
    x = x + v * steps[i].dt;
    if (after_step) after_step(x);
  }
  return x;
}

torch::Tensor sinusoidal_time_embedding(const torch::Tensor& times, int64_t half) {
  const double rate = -std::log(10000.0) / static_cast<double>(half - 1);
  const torch::Tensor frequency =
      (torch::arange(half, times.options().dtype(torch::kFloat32)) * rate).exp();
  const torch::Tensor angle = (times.unsqueeze(1) * 1000) * frequency;  // [N, half]
  return torch::cat({angle.sin(), angle.cos()}, 1);
}

}  // namespace ttsft
