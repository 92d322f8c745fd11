#include "models/chatterbox/weights.h"

#include "ttsft/core/error.h"
#include "ttsft/io/atomic_file.h"
#include "ttsft/io/safetensors.h"
#include "ttsft/nn/weights.h"

namespace ttsft::chatterbox {
namespace {

namespace fs = std::filesystem;

constexpr const char* kT3File = "t3_cfg.safetensors";

// Written anew, or not a part of a release.
bool is_left_out(const fs::path& relative) {
  const std::string first = relative.begin()->string();
  return first == kT3File || first == "t3_cfg.pt" || first == "conds.pt" ||
         first == "trainer_state" || first == "config.resolved.yaml";
}

void link_other_files(const fs::path& base, const fs::path& out) {
  for (const auto& entry : fs::recursive_directory_iterator(base)) {
    const fs::path relative = fs::relative(entry.path(), base);
    if (is_left_out(relative) || !entry.is_regular_file()) continue;
    fs::create_directories((out / relative).parent_path());
    link_or_copy(entry.path(), out / relative);
  }
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
  link_other_files(base, out);
  save_tensors(out / kT3File, tensors);
}

}  // namespace ttsft::chatterbox
