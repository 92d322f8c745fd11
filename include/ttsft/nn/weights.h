// Between tensors in files and the parameters of modules. The dotted path of a parameter is its
// name in the file.
#pragma once

#include <torch/torch.h>

#include <map>
#include <string>
#include <vector>

#include "ttsft/io/safetensors.h"

namespace ttsft {

torch::Dtype to_torch(DType dtype);
DType from_torch(torch::Dtype dtype);

// Without a copy: the tensor reads the mapped file, which the reader must outlive. Never write into
// it.
torch::Tensor borrow_tensor(const TensorView& view);
torch::Tensor copy_tensor(const TensorView& view);  // owns its memory

// For write_safetensors; the tensor must be contiguous on the CPU and outlive the view.
TensorView view_tensor(const std::string& name, const torch::Tensor& tensor);

// Named tensors of any device, written as they are. One of them is on the host at a time, whatever
// their number.
void save_tensors(const std::filesystem::path& file,
                  const std::vector<std::pair<std::string, torch::Tensor>>& tensors,
                  const std::map<std::string, std::string>& metadata = {{"format", "pt"}},
                  Durability durability = Durability::kDisk);

struct LoadOptions {
  torch::Device device = torch::kCPU;
  torch::Dtype dtype = torch::kFloat32;
  std::string prefix;  // of the module's own names inside the file: "speaker_encoder."
  // Names in the file that this module does not want, by prefix of the full name, each with the
  // reason it is left out.
  std::map<std::string, std::string> skip;
};

// Every parameter and buffer must be there with its shape, and nothing else apart from `skip`:
// missing, unexpected and misshapen names are listed together in one DataError that names the file.
// Shapes are checked before anything moves. Same dtype on the CPU: parameters read the mapped file
// without a copy; the module keeps the mapping alive.
void load_strict(torch::nn::Module& module, const std::shared_ptr<const TensorFile>& file,
                 const LoadOptions& options);

// Convolutions and linears that upstream stores with weight normalisation (Salimans and Kingma
// 2016) as one plain weight each: w = g v / ||v||, the norm over all dimensions but the first.
// Takes X.weight_g / X.weight_v and X.parametrizations.weight.original0 / 1, gives X.weight; every
// other tensor whose name starts with `prefix` passes through, and the prefix is taken off.
std::shared_ptr<const TensorFile> fold_weight_norm(const std::shared_ptr<const TensorFile>& file,
                                                   const std::string& prefix = "");

}  // namespace ttsft
