// The emotion that a sentence is spoken with: of a recording, of the voice itself, or mixed from
// examples of eight emotions. Source: index-tts v2.0.0, indextts/infer_v2.py (specification section
// 10) and merge_emovec of indextts/gpt/model_v2.py.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <vector>

#include "models/indextts2/config.h"

namespace ttsft::indextts2 {

// happy, angry, sad, afraid, disgusted, melancholic, surprised, calm
inline constexpr int64_t kEmotions = 8;

// voice + alpha (other - voice), vectors of Conditioner::emotion.
torch::Tensor blend_emotions(const torch::Tensor& voice, const torch::Tensor& other, double alpha);

// Shares that alpha below 1 makes smaller, cut off after four decimals as upstream does.
std::vector<double> scale_shares(std::vector<double> shares, double alpha);

// Examples of the eight emotions: a speaker vector and an emotion vector each.
class EmotionExamples {
 public:
  // feat1.pt and feat2.pt. DataError when they do not fit each other or the configuration.
  EmotionExamples(const Config& config, torch::Device device);

  // Of each emotion the example whose speaker is most like the style [S] (cosine).
  std::vector<int64_t> nearest(const torch::Tensor& style) const;
  std::vector<int64_t> random(uint64_t seed) const;

  // sum of share x example, and what the shares leave of the voice's own emotion [D].
  torch::Tensor mix(const std::vector<double>& shares, const std::vector<int64_t>& examples,
                    const torch::Tensor& own) const;

 private:
  std::vector<torch::Tensor> speakers_, emotions_;  // per emotion [n, S], [n, D]
};

}  // namespace ttsft::indextts2
