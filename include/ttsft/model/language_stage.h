// A stage that predicts speech tokens one after the other. What it must say of its language model
// to have its targets proven: that training and decoding see the same, and at the right frame.
#pragma once

#include <torch/torch.h>

#include <functional>
#include <optional>

#include "ttsft/model/stage.h"

namespace ttsft {

// Logits at the supervised frames of one sample; of a depth-wise decoder, which completes a frame
// code by code, at each of its C codes.
struct Probe {
  torch::Tensor logits;   // [F, V] or [F, C, V], float32
  torch::Tensor targets;  // [F] or [F, C], int64
};

class LanguageStage : public Stage {
 public:
  // The outer language model's logits of the training forward, and of prefill plus single decoding
  // steps over the same layout.
  Probe train_probe(const Sample& sample);
  Probe decode_probe(const Sample& sample);

  // Of the training forward of the depth-wise decoder; nothing where the model has none.
  virtual std::optional<Probe> depth_probe(const Sample&) { return std::nullopt; }

  // The tokens of a sample in the form of Synthesizer::codes(): what synth would say after learning
  // it by heart.
  virtual torch::Tensor target_codes(const Sample& sample) const = 0;

 protected:
  // A batch as the stack sees it.
  struct Sequence {
    torch::Tensor inputs;   // [B, T, D]
    torch::Tensor places;   // [F], flat index of the states that predict speech; of a batch of one
                            // row they are neighbours in rising order
    torch::Tensor targets;  // [F]
  };
  // New positions [1, n, D] -> their states [1, n, D], up to but without the last norm.
  using Forward = std::function<torch::Tensor(const torch::Tensor& inputs)>;

  // The batch that is probed, on the CPU: in the layout that is decoded.
  virtual std::unique_ptr<Batch> probe_batch(const Sample& sample);
  virtual Sequence sequence(const Batch& batch) = 0;
  virtual torch::Tensor forward(const torch::Tensor& inputs) = 0;  // all positions at once
  // Remembers what it was fed. capacity: positions it will get; inputs are like `like`.
  virtual Forward decoder(int64_t capacity, const torch::Tensor& like) = 0;
  virtual torch::Tensor logits(const torch::Tensor& states) = 0;  // norm and head: [F, D] -> [F, V]

 private:
  Sequence alone(const Sample& sample);
};

}  // namespace ttsft
