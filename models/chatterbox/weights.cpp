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

void write_checkpoint(const fs::path& base, const fs::path& out, const WeightChanges& changes,
                      Rounding* rounding) {
  const auto file = open_weights(base, "t3_cfg");
  std::vector<WrittenTensor> tensors = as_they_are(file->tensors());
  for (WrittenTensor& tensor : tensors) tensor.dtype = DType::kF32;
  fs::create_directories(out);
  link_release(base, out, written_anew);
  write_weights(out / kT3File, tensors, changes, rounding);
}

}  // namespace ttsft::chatterbox
