// A file of weights from that of a base and what changed, tensor by tensor: neither the model nor
// its changes are ever in host memory as a whole.
#pragma once

#include <torch/torch.h>

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "ttsft/io/tensor_file.h"

namespace ttsft {

// A new value for a tensor, made when it is written and dropped after: on any device, of any
// floating type.
using WeightSource = std::function<torch::Tensor()>;
using WeightChanges = std::map<std::string, WeightSource>;  // by the names of the base's tensors

// One tensor of the new file.
struct WrittenTensor {
  TensorView base;   // its name finds the change; without one its values are kept
  std::string name;  // in the new file
  DType dtype;       // in the new file: values are cast to it, once
  // In the new file, for a change that grows the tensor; empty: the base's.
  std::vector<int64_t> shape{};
  // Name in the new file of a tensor that it is tied to, where both change: in torch.save's form
  // they share its storage. Empty: its own. (Tensors that do not change share what they shared.)
  std::string tied_to{};
  const std::vector<int64_t>& new_shape() const { return shape.empty() ? base.shape : shape; }
};

// The base's tensors in their order, under their names and in their types.
std::vector<WrittenTensor> as_they_are(const std::vector<TensorView>& tensors);

// The type that most values of the file have: a module that is loaded in it on the CPU reads the
// mapped file and takes no memory.
torch::Dtype stored_dtype(const TensorFile& file);

// What rounding to 16 bits did to changed values.
struct Rounding {
  int64_t changed = 0;   // values that the changes make differ from the base
  int64_t vanished = 0;  // those of them that are the base's again as they were stored
  double share() const {
    return changed > 0 ? static_cast<double>(vanished) / static_cast<double>(changed) : 0;
  }
};

// .safetensors, or as torch.save writes a plain state dict. Atomic. `rounding`, where given, is
// added to. std::logic_error: a change of another shape than new_shape().
void write_weights(const std::filesystem::path& file, const std::vector<WrittenTensor>& tensors,
                   const WeightChanges& changes, Rounding* rounding = nullptr);

}  // namespace ttsft
