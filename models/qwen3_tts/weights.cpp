#include "models/qwen3_tts/weights.h"

#include "ttsft/core/error.h"
#include "ttsft/io/atomic_file.h"
#include "ttsft/model/link_release.h"
#include "ttsft/nn/weights.h"

namespace ttsft::qwen3_tts {
namespace {

constexpr const char* kCodecEmbedding = "talker.model.codec_embedding.weight";

// Files that a complete checkpoint gets anew; all others are linked.
bool written_anew(const std::filesystem::path& file) {
  const std::string relative = file.generic_string();
  return relative == "config.json" || relative.starts_with("model.safetensors") ||
         (relative.starts_with("model-") && relative.ends_with(".safetensors"));
}

}  // namespace

Qwen3Tts load_talker(const std::shared_ptr<const TensorFile>& file, const Config& config,
                     torch::Device device, torch::Dtype dtype) {
  Qwen3Tts model(config.talker);
  LoadOptions options;
  options.device = device;
  options.dtype = dtype;
  options.skip = {{"speaker_encoder.", "only voice references need it"}};
  load_strict(*model, file, options);
  return model;
}

void write_custom_voice(const std::filesystem::path& base, const Config& config,
                        const std::filesystem::path& out,
                        const std::map<std::string, torch::Tensor>& changed,
                        const Speakers& speakers, const std::map<std::string, int64_t>& rows,
                        bool keep_existing, bool keep_speaker_encoder) {
  const SafetensorsReader file = SafetensorsReader::open(base);
  std::vector<torch::Tensor> kept;  // owners of what the views look at
  std::vector<TensorView> views;
  for (const TensorView& view : file.tensors()) {
    if (view.name.starts_with("speaker_encoder.") && !keep_speaker_encoder) continue;
    const auto replacement = changed.find(view.name);
    if (replacement == changed.end() && view.name != kCodecEmbedding) {
      views.push_back(view);
      continue;
    }
    torch::Tensor value =
        replacement == changed.end() ? copy_tensor(view) : replacement->second.detach();
    value = value.to(torch::kCPU, to_torch(view.dtype)).contiguous();
    if (view.name == kCodecEmbedding) {
      if (replacement != changed.end() && value.data_ptr() == replacement->second.data_ptr())
        value = value.clone();
      for (const auto& [name, vector] : speakers) value[rows.at(name)].copy_(vector);
    }
    if (value.sizes().vec() != view.shape)
      throw std::logic_error("write_custom_voice: shape of " + view.name);
    kept.push_back(value);
    views.push_back(view_tensor(view.name, kept.back()));
  }
  std::filesystem::create_directories(out);
  link_release(base, out, written_anew);
  write_safetensors(out / "model.safetensors", views);
  write_text_atomic(out / "config.json",
                    custom_voice_config(config, rows, keep_existing).dump(2) + "\n");
}

}  // namespace ttsft::qwen3_tts
