// A model of the shapes that the first three do not have: frames of six codes, of which a
// depth-wise decoder completes five; a second trainable stage whose loss draws noise; no encoder of
// recordings. Small enough to learn two clips by heart in seconds.
#pragma once

#include <torch/torch.h>

#include <memory>
#include <vector>

#include "ttsft/io/tensor_file.h"
#include "ttsft/nn/decoder_block.h"
#include "ttsft/nn/layers.h"
#include "ttsft/nn/linear.h"

namespace ttsft::toy {

inline constexpr int64_t kCodes = 24, kEnd = kCodes, kLevels = 6, kTextIds = 128, kWidth = 48;
inline constexpr int64_t kMel = 4;  // a frame of mel is its four samples of sound
inline constexpr int kRate = 1000;
inline constexpr double kFramesPerSecond = kRate / static_cast<double>(kMel);

// Text and the first code of each frame; `depth` completes a frame.
class LmImpl : public torch::nn::Module {
 public:
  LmImpl();
  torch::Tensor frames(const torch::Tensor& codes);  // [N, 6] -> [N, D]
  // Of whole frames: states [N, D], codes [N, 6] -> states behind the norm that predict the codes
  // behind the first [N, 5, D]
  torch::Tensor predictor_hidden(const torch::Tensor& states, const torch::Tensor& codes);

  Embedding text_emb{nullptr};
  std::vector<Embedding> code_emb;  // by level
  DecoderStack layers{nullptr}, depth{nullptr};
  RmsNorm norm{nullptr}, depth_norm{nullptr};
  Linear head{nullptr};            // the first code, or the end
  std::vector<Linear> level_head;  // of the others
};
TORCH_MODULE(Lm);

// The velocity of a flow from noise to the mel of a frame, from the frame's codes.
class FlowImpl : public torch::nn::Module {
 public:
  FlowImpl();
  // x [N, M], time [N, 1], codes [N, 6] -> [N, M]
  torch::Tensor velocity(const torch::Tensor& x, const torch::Tensor& time,
                         const torch::Tensor& codes);

  std::vector<Embedding> code_emb;
  Linear in{nullptr}, hidden{nullptr}, out{nullptr};
};
TORCH_MODULE(Flow);

// What the codes of a frame sound as: the target of the flow. [N, 6] -> [N, M]
torch::Tensor mel_of(const torch::Tensor& codes);

Lm load_lm(const std::filesystem::path& folder, torch::Device device, torch::Dtype dtype);
Flow load_flow(const std::filesystem::path& folder, torch::Device device, torch::Dtype dtype);

inline constexpr const char* kLmFile = "lm.safetensors";
inline constexpr const char* kFlowFile = "flow.safetensors";

}  // namespace ttsft::toy
