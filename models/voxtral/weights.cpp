#include "models/voxtral/weights.h"

#include <cstring>

#include "ttsft/model/link_release.h"
#include "ttsft/nn/weights.h"

namespace ttsft::voxtral {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kConvWeight = ".conv.weight";

// The lengths of a weight's rows, all dimensions but the first: [out, 1, 1].
torch::Tensor row_lengths(const torch::Tensor& weight) {
  return weight.flatten(1).norm(2, 1).view({-1, 1, 1});
}

}  // namespace

void write_lm(const fs::path& base, const fs::path& out, const WeightChanges& changes,
              Rounding* rounding) {
  fs::create_directories(out);
  link_release(base, out, [](const fs::path& file) { return file == kWeightsFile; });
  const auto weights = open_weights(base);
  write_weights(out / kWeightsFile, as_they_are(weights->tensors()), changes, rounding);
}

void write_encoder(const fs::path& file, CodecEncoder& encoder, const WeightChanges& changes) {
  const torch::NoGradGuard no_grad;
  std::vector<std::pair<std::string, torch::Tensor>> tensors;
  for (const auto& item : encoder->named_parameters()) {
    const std::string name = kCodecPrefix + item.key();
    const auto change = changes.find(name);
    const torch::Tensor value = (change == changes.end() ? item.value() : change->second())
                                    .detach()
                                    .to(torch::kCPU, torch::kFloat32);
    if (!name.ends_with(kConvWeight)) {
      tensors.emplace_back(name, value);
      continue;
    }
    const std::string stem =
        name.substr(0, name.size() - std::strlen("weight")) + "parametrizations.weight.original";
    tensors.emplace_back(stem + "0", row_lengths(value));
    tensors.emplace_back(stem + "1", value);
  }
  fs::create_directories(file.parent_path());
  save_tensors(file, tensors);
}

}  // namespace ttsft::voxtral
