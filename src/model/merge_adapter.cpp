#include "ttsft/model/merge_adapter.h"

#include "ttsft/core/log.h"
#include "ttsft/nn/lora.h"

namespace ttsft {

std::filesystem::path base_folder(const RunConfig& run, const CheckpointRef& checkpoint) {
  return checkpoint.kind == CheckpointKind::kAdapter ? run.checkpoint : checkpoint.folder;
}

std::vector<std::string> merge_adapter(torch::nn::Module& module, const CheckpointRef& checkpoint,
                                       double lora_scale, torch::Device device) {
  std::vector<std::string> changed;
  if (checkpoint.kind != CheckpointKind::kAdapter) return changed;
  LoraSet adapter = LoraSet::load(module, checkpoint.folder, device);
  adapter.set_scale(lora_scale);
  log_info("adapter of ", adapter.sites().size(), " layers at scale ", lora_scale);
  for (const AdapterSite& site : adapter.sites()) changed.push_back(site.path + ".weight");
  adapter.merge();
  return changed;
}

std::map<std::string, torch::Tensor> full_weights(
    torch::nn::Module& module, const std::map<std::string, torch::Tensor>& masters) {
  std::map<std::string, torch::Tensor> weights = masters;  // emplace() leaves these
  for (const auto& item : module.named_parameters()) weights.emplace(item.key(), item.value());
  return weights;
}

std::map<std::string, torch::Tensor> merged_weights(torch::nn::Module& module,
                                                    const CheckpointRef& checkpoint,
                                                    double lora_scale, torch::Device device) {
  std::map<std::string, torch::Tensor> weights;
  const std::vector<std::string> changed = merge_adapter(module, checkpoint, lora_scale, device);
  const auto parameters = module.named_parameters();
  for (const std::string& name : changed) weights[name] = parameters[name].to(torch::kCPU);
  return weights;
}

}  // namespace ttsft
