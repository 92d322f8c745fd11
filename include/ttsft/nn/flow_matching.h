// Conditional flow matching at synthesis: Euler steps from noise to a sample, with classifier-free
// guidance (Lipman et al. 2023; Ho and Salimans 2022). Upstream: matcha/models/components/
// flow_matching.py and its heirs in CosyVoice, Chatterbox and IndexTTS2.
#pragma once

#include <torch/torch.h>

#include <functional>
#include <vector>

namespace ttsft {

enum class FlowSchedule {
  kCosine,  // t_i = 1 - cos(pi/2 i/n): short steps near the noise (CosyVoice, Chatterbox)
  kLinear,  // t_i = i/n, where t is the rounded sum of the steps so far (IndexTTS2)
};

struct FlowStep {
  float time = 0;  // where the velocity is asked for
  float dt = 0;
};

// The steps of a solver, in upstream's float32 arithmetic.
std::vector<FlowStep> flow_steps(int64_t count, FlowSchedule schedule);

// The times of all steps, [n] float32: what depends on the time alone can be computed for the whole
// run at once.
torch::Tensor flow_times(const std::vector<FlowStep>& steps, torch::Device device);

// x [B, C, T] at steps[step] -> velocities [2B, C, T]: B rows with the condition, then the same
// rows without it. [B, C, T] where a run is not guided.
using FlowVelocity = std::function<torch::Tensor(const torch::Tensor& x, size_t step)>;

// x += dt ((1 + guidance) v_cond - guidance v_uncond) for each step. `after_step` may change x in
// place, e.g. to keep the frames of a prompt at zero. Nothing waits for the device.
torch::Tensor solve_flow(torch::Tensor x, const std::vector<FlowStep>& steps, double guidance,
                         const FlowVelocity& velocity,
                         const std::function<void(torch::Tensor& x)>& after_step = {});

// [N] times -> [N, 2 half]: angles 1000 t f_k with f_k = exp(-k ln(10000) / (half - 1)), all sines,
// then all cosines (matcha/models/components/decoder.py, SinusoidalPosEmb).
torch::Tensor sinusoidal_time_embedding(const torch::Tensor& times, int64_t half);

}  // namespace ttsft
