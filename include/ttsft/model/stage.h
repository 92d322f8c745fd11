// A part of a model that can be trained, seen through what the train and eval engines need. One
// that predicts tokens is a LanguageStage (model/language_stage.h).
#pragma once

#include <torch/torch.h>

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ttsft/data/prepared_set.h"
#include "ttsft/model/draw.h"

namespace ttsft {

// One utterance ready for collation. Adapters derive from it.
struct Sample {
  virtual ~Sample() = default;
  std::string id;
  int64_t length = 0;  // positions it takes in a batch: the unit of train.batch_tokens
};

using Samples = std::vector<std::unique_ptr<Sample>>;

// Padded tensors of several samples. Adapters derive from it.
struct Batch {
  virtual ~Batch() = default;
  // Shows all its tensors, so that the engine can pin and move them; some may be undefined.
  virtual void each(const std::function<void(torch::Tensor&)>& visit) = 0;
  std::vector<std::string> ids;  // row by row
  // What the values of a loss term are divided by, summed over the batch: tokens with a target, or
  // weights (LossTerm::share).
  std::map<std::string, double> supervised;
  int64_t positions = 0, padding = 0;  // of the padded batch; how many of them are padding
};

// Losses of every supervised token (or frame) of one term. The engine divides: one mean over a
// whole accumulated batch, not a mean of means.
struct LossTerm {
  std::string name;
  double weight = 1.0;    // in the total
  torch::Tensor value;    // [N] or [N, C] (C codebooks), float32
  torch::Tensor correct;  // like value, bool; undefined: no accuracy was asked for, or it has none
  torch::Tensor row;      // [N], int64: the batch row that each token belongs to
  // [N], float32: what each value counts in the denominator; undefined: ones. The values carry
  // their weights already: a masked error is 0 and counts 0.
  torch::Tensor share{};
};

// To memory that a CUDA device reads without the host waiting for it.
void pin(Batch& batch);
// Asked of the current stream, which what is asked of the device next runs on too.
void move_to(Batch& batch, torch::Device device);

struct LossRequest {
  bool accuracy = false;
};

class Stage {
 public:
  virtual ~Stage() = default;

  // Parameter names are upstream's. Adapters (LoRA) hang on its Linear modules.
  virtual torch::nn::Module& module() = 0;
  // Whether full fine-tuning trains this parameter.
  virtual bool trainable(const std::string& parameter) const = 0;
  // UsageError: weights that no adapter can stand on, for they were drawn a moment ago.
  virtual void require_adaptable() const {}

  // DataError names the row. Any thread may call it.
  virtual std::unique_ptr<Sample> read(const PreparedRow& row) = 0;
  // A sample of random content for proofs that need no data (export's comparison of logits).
  virtual std::unique_ptr<Sample> random_sample(uint64_t seed) = 0;
  // All that a model chooses at random is drawn here, through `draw`: equal draws give equal
  // batches, and a resumed run chooses the same. On the CPU; any thread may call it.
  virtual std::unique_ptr<Batch> collate(std::span<const Sample* const> samples,
                                         const Draw& draw) const = 0;
  // collate(), and on the device of the module.
  std::unique_ptr<Batch> make_batch(std::span<const Sample* const> samples, const Draw& draw);
  // Of a batch that is on the device of the module.
  virtual std::vector<LossTerm> loss(const Batch& batch, const LossRequest& request) = 0;

  // What the model's own tools expect beside PEFT's two files.
  virtual void save_beside_adapter(const std::filesystem::path& folder) = 0;
  // A complete checkpoint in the released layout from the module's weights (adapters must be
  // merged). `weights` replaces parameters by name (float32 masters of a bf16 run); untouched files
  // are hard-linked.
  virtual void save_full(const std::filesystem::path& folder,
                         const std::map<std::string, torch::Tensor>& weights) = 0;
};

// The rows of a set in their order, read on all cores.
Samples read_samples(Stage& stage, const PreparedRows& rows);

}  // namespace ttsft
