#include "ttsft/model/merge_adapter.h"

#include "ttsft/core/log.h"
#include "ttsft/nn/lora.h"

namespace ttsft {

std::filesystem::path base_folder(const RunConfig& run, const CheckpointRef& checkpoint) {
  return checkpoint.kind == CheckpointKind::kAdapter ? run.checkpoint : checkpoint.folder;
}

namespace {

LoraSet load_adapter(torch::nn::Module& module, const CheckpointRef& checkpoint, double lora_scale,
                     torch::Device device) {
  LoraSet adapter = LoraSet::load(module, checkpoint.folder, device, checkpoint.alpha);
  adapter.set_scale(lora_scale);
  log_info("adapter of ", adapter.sites().size(), " layers at scale ", lora_scale);
  return adapter;
}

// W + scale * scaling * B A in float32, in the layout of the file; the linear keeps its own.
torch::Tensor merged_weight(const LinearImpl& linear) {
  torch::NoGradGuard no_grad;
  const LoraSlot& slot = linear.lora().value();
  if (slot.scale == 0.0) return linear.weight.to(torch::kFloat32);
  torch::Tensor delta = torch::matmul(slot.B, slot.A) * (slot.scale * slot.scaling);
  if (linear.options().layout == LinearLayout::kInOut) delta = delta.t();
  return linear.weight.to(delta.device(), torch::kFloat32) + delta;
}

}  // namespace

void wear_adapter(torch::nn::Module& module, const CheckpointRef& checkpoint, double lora_scale,
                  torch::Device device, torch::Dtype dtype) {
  if (checkpoint.kind != CheckpointKind::kAdapter) return;
  LoraSet adapter = load_adapter(module, checkpoint, lora_scale, device);
  if (dtype == torch::kFloat32) adapter.merge();
}

std::vector<std::string> merge_adapter(torch::nn::Module& module, const CheckpointRef& checkpoint,
                                       double lora_scale, torch::Device device) {
  std::vector<std::string> changed;
  if (checkpoint.kind != CheckpointKind::kAdapter) return changed;
  LoraSet adapter = load_adapter(module, checkpoint, lora_scale, device);
  for (const AdapterSite& site : adapter.sites()) changed.push_back(site.path + ".weight");
  adapter.merge();
  return changed;
}

WeightChanges full_weights(torch::nn::Module& module,
                           const std::map<std::string, torch::Tensor>& masters) {
  WeightChanges weights;
  for (const auto& item : module.named_parameters())
    weights[item.key()] = [value = item.value()] { return value; };
  for (const auto& [name, master] : masters) weights[name] = [value = master] { return value; };
  return weights;
}

WeightChanges merged_weights(torch::nn::Module& module, const CheckpointRef& checkpoint,
                             double lora_scale, torch::Device device) {
  WeightChanges weights;
  if (checkpoint.kind != CheckpointKind::kAdapter) return weights;
  const LoraSet adapter = load_adapter(module, checkpoint, lora_scale, device);
  for (const AdapterSite& site : adapter.sites())
    weights[site.path + ".weight"] = [linear = site.linear] { return merged_weight(*linear); };
  return weights;
}

}  // namespace ttsft
