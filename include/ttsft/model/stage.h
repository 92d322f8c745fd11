// A part of a model that can be trained, seen through what the train and eval engines need.
#pragma once

#include <torch/torch.h>

#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ttsft/data/prepared_set.h"

namespace ttsft {

// One utterance ready for collation. Adapters derive from it.
struct Sample {
  virtual ~Sample() = default;
  std::string id;
  int64_t length = 0;  // positions it takes in a batch: the unit of train.batch_tokens
};

// Padded tensors of several samples, on the CPU until loss() moves them. Adapters derive from it.
struct Batch {
  virtual ~Batch() = default;
  std::vector<std::string> ids;               // row by row
  std::map<std::string, int64_t> supervised;  // tokens with a target, by loss term
  int64_t positions = 0, padding = 0;         // of the padded batch; how many of them are padding
};

// Losses of every supervised token of one term. The engine divides: one mean over the tokens of a
// whole accumulated batch, not a mean of means.
struct LossTerm {
  std::string name;
  double weight = 1.0;    // in the total
  torch::Tensor nll;      // [N] or [N, C] (C codebooks), float32
  torch::Tensor correct;  // like nll, bool; only when accuracy was asked for
  torch::Tensor row;      // [N], int64: the batch row that each token belongs to
};

struct LossRequest {
  bool accuracy = false;
};

// Logits at the supervised frames of one sample, for the proofs that targets are at the right
// place.
struct Probe {
  torch::Tensor logits;   // [F, V], float32
  torch::Tensor targets;  // [F], int64
};

class Stage {
 public:
  virtual ~Stage() = default;

  // Parameter names are upstream's. Adapters (LoRA) hang on its Linear modules.
  virtual torch::nn::Module& module() = 0;
  // Whether full fine-tuning trains this parameter.
  virtual bool trainable(const std::string& parameter) const = 0;

  virtual std::unique_ptr<Sample> read(const PreparedRow& row) = 0;  // DataError names the row
  // A sample of random content for proofs that need no data (export's comparison of logits).
  virtual std::unique_ptr<Sample> random_sample(uint64_t seed) = 0;
  virtual std::unique_ptr<Batch> collate(std::span<const Sample* const> samples) const = 0;
  // The same with what a model chooses at random while training (texts left out for classifier-free
  // guidance). The seed decides, so that a resumed run chooses the same.
  virtual std::unique_ptr<Batch> collate_training(std::span<const Sample* const> samples,
                                                  uint64_t /*seed*/) const {
    return collate(samples);
  }
  virtual std::vector<LossTerm> loss(const Batch& batch, const LossRequest& request) = 0;

  // The outer language model's logits of the training forward, and of prefill plus single decoding
  // steps over the same layout. The engine compares them, and looks at the loss one frame early and
  // late.
  virtual Probe train_probe(const Sample& sample) = 0;
  virtual Probe decode_probe(const Sample& sample) = 0;

  // The tokens of a sample in the form of Synthesizer::codes(): what synth would say after learning
  // it by heart.
  virtual torch::Tensor target_codes(const Sample& sample) const = 0;

  // What the model's own tools expect beside PEFT's two files.
  virtual void save_beside_adapter(const std::filesystem::path& folder) = 0;
  // A complete checkpoint in the released layout from the module's weights (adapters must be
  // merged). `weights` replaces parameters by name (float32 masters of a bf16 run); untouched files
  // are hard-linked.
  virtual void save_full(const std::filesystem::path& folder,
                         const std::map<std::string, torch::Tensor>& weights) = 0;
};

}  // namespace ttsft
