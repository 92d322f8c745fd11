#include "models/chatterbox/weights.h"

#include "ttsft/model/link_release.h"
#include "ttsft/nn/weights.h"

namespace ttsft::chatterbox {
namespace {

namespace fs = std::filesystem;

constexpr const char* kT3File = "t3_cfg.safetensors";

bool written_anew(const fs::path& relative) {
  return relative == kT3File || relative == "t3_cfg.pt" || relative == "conds.pt";
}

}  // namespace

T3 load_t3(const fs::path& folder, const T3Config& config, torch::Device device,
           torch::Dtype dtype) {
  T3 t3(config);
  LoadOptions options;
  options.device = device;
  options.dtype = dtype;
  load_strict(*t3, open_weights(folder, "t3_cfg"), options);
  return t3;
}

void write_checkpoint(const fs::path& base, const fs::path& out,
                      const std::map<std::string, torch::Tensor>& changed) {
  const auto file = open_weights(base, "t3_cfg");
  std::vector<std::pair<std::string, torch::Tensor>> tensors;
  for (const TensorView& view : file->tensors()) {
    const auto replacement = changed.find(view.name);
    const torch::Tensor value =
        replacement == changed.end() ? copy_tensor(view) : replacement->second;
    if (value.sizes().vec() != view.shape)
      throw std::logic_error("write_checkpoint: shape of " + view.name);
    tensors.emplace_back(view.name, value.detach().to(torch::kCPU, torch::kFloat32));
  }
  fs::create_directories(out);
  link_release(base, out, written_anew);
  save_tensors(out / kT3File, tensors);
}

}  // namespace ttsft::chatterbox
