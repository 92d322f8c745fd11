// The parameters that a run changes, with their float32 masters.
#pragma once

#include <torch/torch.h>

#include <string>
#include <vector>

#include "ttsft/io/safetensors.h"
#include "ttsft/train/optimizer.h"

namespace ttsft {

// bfloat16 keeps 8 bits: an update below 1/256 of a weight would be rounded away. So the optimizer
// works on float32 masters and gradients are summed in float32; after each step the model gets the
// masters rounded to its own type. A float32 parameter is its own master.
class TrainedWeights {
 public:
  // Makes the parameter require a gradient. One tensor under two names is taken once.
  void add(const std::string& name, torch::Tensor parameter);

  void begin_step();  // forgets all gradients
  void collect();     // call after every backward pass: moves gradients to the float32 sums
  std::vector<torch::Tensor> gradients() const;  // by master; undefined where there is none
  void publish();                                // masters -> parameters

  NamedTensors masters() const;
  void load_masters(const SafetensorsReader& file);  // every master; DataError when one is missing
  int64_t count() const;                             // values
  int64_t training_bytes() const;  // masters, gradients and moments, beyond the model's own weights

 private:
  struct Entry {
    std::string name;
    torch::Tensor parameter, master;
    torch::Tensor sum;  // of gradients, float32; unused where the parameter is its own master
    bool has_gradient = false;
    bool own_master() const { return parameter.is_same(master); }
  };
  std::vector<Entry> entries_;
};

}  // namespace ttsft
