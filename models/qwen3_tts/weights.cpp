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

namespace {

// The table of the codec's tokens with each speaker's vector in his row.
WeightSource with_speakers(const SafetensorsReader& file, const WeightChanges& changes,
                           const Speakers& speakers, const std::map<std::string, int64_t>& rows) {
  const auto change = changes.find(kCodecEmbedding);
  const WeightSource table = change == changes.end()
                                 ? [&file] { return copy_tensor(file.at(kCodecEmbedding)); }
                                 : change->second;
  return [table, &speakers, &rows] {
    torch::NoGradGuard no_grad;
    torch::Tensor value = table().detach().to(torch::kCPU, torch::kFloat32, /*non_blocking=*/false,
                                              /*copy=*/true);
    for (const auto& [name, vector] : speakers) value[rows.at(name)].copy_(vector);
    return value;
  };
}

}  // namespace

void write_custom_voice(const std::filesystem::path& base, const Config& config,
                        const std::filesystem::path& out, const WeightChanges& changes,
                        const Speakers& speakers, const std::map<std::string, int64_t>& rows,
                        bool keep_existing, bool keep_speaker_encoder, Rounding* rounding) {
  const SafetensorsReader file = SafetensorsReader::open(base);
  std::vector<WrittenTensor> tensors = as_they_are(file.tensors());
  if (!keep_speaker_encoder)
    std::erase_if(tensors, [](const auto& t) { return t.name.starts_with("speaker_encoder."); });
  WeightChanges all = changes;
  if (!speakers.empty()) all[kCodecEmbedding] = with_speakers(file, changes, speakers, rows);
  std::filesystem::create_directories(out);
  link_release(base, out, written_anew);
  write_weights(out / "model.safetensors", tensors, all, rounding);
  write_text_atomic(out / "config.json",
                    custom_voice_config(config, rows, keep_existing).dump(2) + "\n");
}

}  // namespace ttsft::qwen3_tts
