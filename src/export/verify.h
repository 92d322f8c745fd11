// The proof that exported files compute what the checkpoint did.
#pragma once

#include <torch/torch.h>

#include <filesystem>
#include <map>
#include <string>

#include "ttsft/model/adapter.h"

namespace ttsft {

// Logits of the training forward on random content, float32 on the CPU, [F, V].
torch::Tensor probe_logits(const ModelContext& context, const ModelAdapter& adapter,
                           const CheckpointRef& checkpoint, double lora_scale);

// What every stage of the set computes, to be compared with exported files.
class Proof {
 public:
  Proof(const ModelContext& context, const ModelAdapter& adapter, const CheckpointSet& checkpoints,
        double lora_scale);
  // The largest relative_difference of a stage that is read from the exported folder.
  double difference(const std::filesystem::path& exported) const;

 private:
  torch::Tensor logits(const std::string& stage, const CheckpointRef& checkpoint,
                       double lora_scale) const;

  ModelContext context_;
  const ModelAdapter& adapter_;
  std::map<std::string, torch::Tensor> references_;  // by stage
};

// RMS of the difference over the RMS of the reference's deviation from its mean; infinite for
// another shape or values that are not finite.
double relative_difference(const torch::Tensor& logits, const torch::Tensor& reference);

// What rounding alone may do: merged weights are stored in the type of the release, so bfloat16
// files differ by that rounding, and float32 files hardly.
double export_tolerance(const std::filesystem::path& folder);

}  // namespace ttsft
