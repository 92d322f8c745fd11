// Qwen3-TTS behind the interface that the engines know.
#include "ttsft/model/basic_adapter.h"

#include "models/qwen3_tts/options.h"
#include "models/qwen3_tts/prep.h"
#include "models/qwen3_tts/stage.h"
#include "models/qwen3_tts/synth.h"
#include "ttsft/core/error.h"
#include "ttsft/model/merge_adapter.h"

namespace ttsft::qwen3_tts {
namespace {

const char* variant_name(Variant variant) {
  switch (variant) {
    case Variant::kBase:
      return "Base";
    case Variant::kCustomVoice:
      return "CustomVoice";
    case Variant::kVoiceDesign:
      return "VoiceDesign";
  }
  return "";
}

ModelInfo make_info() {
  ModelInfo i;
  i.name = "qwen3-tts";
  i.folder = "qwen3_tts";
  i.title = "Qwen3-TTS 12Hz";
  i.paradigm =
      "autoregressive talker over codebook 0, depth-wise code predictor for codebooks 1..15, "
      "causal codec";
  i.rates = {24000, 24000, 24000, 12.5};
  i.license = {"Apache-2.0", true, ""};
  i.stages = {"lm"};
  i.lora_targets = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"};
  i.releases = {"Qwen3-TTS-12Hz-1.7B-Base", "Qwen3-TTS-12Hz-0.6B-Base",
                "Qwen3-TTS-12Hz-1.7B-CustomVoice", "Qwen3-TTS-12Hz-0.6B-CustomVoice",
                "Qwen3-TTS-12Hz-1.7B-VoiceDesign"};
  return i;
}

using Adapter = BasicAdapter<Options, SpeechPreparer, LmStage, SpeechSynthesizer>;

class Qwen3TtsAdapter : public Adapter {
 public:
  Qwen3TtsAdapter() : Adapter(make_info()) {}

  void preset(RunConfig& config) const override {
    config.lora.targets.endings = info().lora_targets;
    config.lora.rank = 16;
    config.lora.alpha = 32;
    config.train.optimizer.learning_rate = 2e-6;
    config.synth.temperature = 0.9;
    config.synth.top_k = 50;
    config.synth.top_p = 1.0;
    config.synth.repetition_penalty = 1.05;
    config.synth.max_frames = 2048;
  }

  std::string recognise(const std::filesystem::path& folder) const override {
    try {
      const Config c = read_config(folder);
      return info().title + " " + variant_name(c.variant) + " (" + c.model_size + "): talker " +
             std::to_string(c.talker.num_hidden_layers) + " layers of " +
             std::to_string(c.talker.hidden_size) + ", code predictor " +
             std::to_string(c.talker.code_predictor.num_hidden_layers) + " layers of " +
             std::to_string(c.talker.code_predictor.hidden_size) + ", " +
             std::to_string(c.talker.spk_id.size()) + " named speakers";
    } catch (const Error&) {
      return "";
    }
  }

  Abilities abilities(const std::filesystem::path& folder) const override {
    Abilities can = ModelAdapter::abilities(folder);
    can.stream = true;
    can.clone = read_config(folder).has_speaker_encoder();
    if (!can.clone) can.why_not = "it has no speaker encoder, which Base checkpoints have";
    return can;
  }

  std::vector<std::string> named_voices(const RunConfig& config,
                                        const CheckpointSet& checkpoints) const override {
    const CheckpointRef& own = checkpoints.of("lm");
    std::vector<std::string> names;
    for (const auto& [name, row] : read_config(base_folder(config, own)).talker.spk_id)
      names.push_back(name);
    if (own.kind == CheckpointKind::kAdapter)
      for (const auto& [name, row] : load_adapter_voices(own.folder).rows) names.push_back(name);
    return names;
  }

  Rounding export_checkpoint(const ModelContext& context, const CheckpointSet& checkpoints,
                             double lora_scale, const std::filesystem::path& out) const override;
};

// The voice of an exported checkpoint: the adapter's own, else the reference's.
struct ExportVoices {
  Speakers speakers;
  std::map<std::string, int64_t> rows;
};

ExportVoices export_voices(const ModelContext& context, const CheckpointRef& checkpoint,
                           const Config& config, const std::filesystem::path& base) {
  if (checkpoint.kind == CheckpointKind::kAdapter) {
    AdapterVoices voices = load_adapter_voices(checkpoint.folder);
    if (!voices.speakers.empty()) return {std::move(voices.speakers), std::move(voices.rows)};
  }
  if (config.variant != Variant::kBase) return {};  // it names its voices already
  if (context.config.data.reference.file.empty())
    throw UsageError("the exported checkpoint would have no voice", "data.reference",
                     "name a recording of the speaker, or export a checkpoint that train wrote");
  Speakers speakers;
  speakers[speaker_key(context.config.data.speaker)] =
      SpeakerReader(base, config, context.device).read(context.config.data.reference.file);
  auto rows = speaker_rows(speakers, config, /*keep_existing=*/true);
  return {std::move(speakers), std::move(rows)};
}

Rounding Qwen3TtsAdapter::export_checkpoint(const ModelContext& context,
                                            const CheckpointSet& checkpoints, double lora_scale,
                                            const std::filesystem::path& out) const {
  c10::InferenceMode inference;
  const CheckpointRef& checkpoint = checkpoints.of("lm");
  const std::filesystem::path base = base_folder(context.config, checkpoint);
  const Config config = read_config(base);
  const auto& options = options_of(context.config);
  const ExportVoices voices = export_voices(context, checkpoint, config, base);
  WeightChanges changes;
  if (checkpoint.kind == CheckpointKind::kAdapter) {
    // As the file stores it, so that it stays there; each weight is merged in float32 whatever the
    // precision of the run, and cast to the file's own type once.
    const auto file = std::make_shared<SafetensorsReader>(SafetensorsReader::open(base));
    Qwen3Tts model = load_talker(file, config, torch::kCPU, stored_dtype(*file));
    changes = merged_weights(*model, checkpoint, lora_scale, context.device);
  }
  Rounding rounding;
  write_custom_voice(base, config, out, changes, voices.speakers, voices.rows,
                     /*keep_existing=*/true, options.keep_speaker_encoder, &rounding);
  return rounding;
}

}  // namespace

std::unique_ptr<ModelAdapter> make_adapter() {
  return std::make_unique<Qwen3TtsAdapter>();
}

}  // namespace ttsft::qwen3_tts
