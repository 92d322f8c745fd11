// Fish S2 Pro behind the interface that the engines know.
#include "models/fish_s2_pro/options.h"
#include "models/fish_s2_pro/prep.h"
#include "models/fish_s2_pro/stage.h"
#include "models/fish_s2_pro/synth.h"
#include "models/fish_s2_pro/weights.h"
#include "ttsft/core/error.h"
#include "ttsft/io/json_reader.h"
#include "ttsft/model/basic_adapter.h"
#include "ttsft/model/merge_adapter.h"

namespace ttsft::fish_s2_pro {
namespace {

constexpr double kHop = 2048;  // samples of a frame

ModelInfo make_info() {
  ModelInfo i;
  i.name = "fish-s2-pro";
  i.folder = "fish_s2_pro";
  i.title = "Fish S2 Pro";
  i.paradigm =
      "slow autoregressive decoder over text and the first code of each frame, fast one over its "
      "ten codes, causal codec";
  i.rates = {kCodecRate, kCodecRate, 0, kCodecRate / kHop};
  i.license = {"Fish Audio Research License", false,
               "research and non-commercial use only; it covers adapters and merged weights too, "
               "which keep the NOTICE beside them",
               "fish-audio-research"};
  i.stages = {"lm"};
  i.lora_targets = {"wqkv", "wo", "w1", "w2", "w3", "fast_output"};
  // Tags, manners in brackets, and what it leaves out by itself.
  i.markup = {"<[^<>]*>", "\\[[^\\[\\]]*\\]", "\\{[^{}]*\\}"};
  i.releases = {"fishaudio/s2-pro"};
  i.peft_task_type = "";
  return i;
}

using Adapter = BasicAdapter<Options, SpeechPreparer, LmStage, SpeechSynthesizer>;

class FishS2ProAdapter : public Adapter {
 public:
  FishS2ProAdapter() : Adapter(make_info()) {}

  void preset(RunConfig& config) const override {
    config.lora.targets.endings = info().lora_targets;
    config.lora.rank = 16;
    config.lora.alpha = 32;
    config.lora.dropout = 0.01;
    config.train.optimizer.learning_rate = 1e-4;
    config.train.optimizer.betas = {0.9, 0.95};
    config.train.optimizer.weight_decay = 0;
    config.synth.temperature = 1.0;
    config.synth.top_p = 0.9;
    config.synth.top_k = 30;
    config.synth.max_frames = 1024;  // 47 s, for each batch of turns
  }

  // Training hears no reference.
  void speak_as_trained(RunConfig& config) const override { config.data.reference.clear(); }

  // One voice alone speaks without a reference, as it was trained.
  void speak_as(RunConfig& config, const LearnedVoice& voice) const override {
    if (voice.among == 1) return;
    speak_as_recorded(config, voice);
    auto own = std::make_shared<Options>(options_of(std::as_const(config)));
    own->reference_text = voice.text;
    config.model_options = std::move(own);
  }

  std::vector<std::string> encoded_keys() const override { return {"npy", "codes"}; }

  std::string recognise(const std::filesystem::path& folder) const override {
    if (!std::filesystem::exists(folder / "config.json")) return "";
    if (const std::string other = other_release(folder); !other.empty())
      throw DataError(other + " is not supported", folder.string(),
                      "take fishaudio/s2-pro: config.json, two shards, codec.pth, tokenizer.json");
    const auto json = read_json_object(folder / "config.json");
    const auto type = json.find("model_type");
    if (type == json.end() || (*type != "fish_qwen3_omni" && *type != "dual_ar")) return "";
    const Config c = read_config(folder);
    return info().title + ": slow decoder of " + std::to_string(c.slow.layers) + " layers of " +
           std::to_string(c.slow.dim) + ", fast one of " + std::to_string(c.fast.layers) +
           " layers of " + std::to_string(c.fast.dim) + ", " + std::to_string(c.codebooks) +
           " codebooks";
  }

  Abilities abilities(const std::filesystem::path& folder) const override {
    Abilities can = ModelAdapter::abilities(folder);
    can.stream = true;
    return can;
  }

  Rounding export_checkpoint(const ModelContext& context, const CheckpointSet& checkpoints,
                             double lora_scale, const std::filesystem::path& out) const override {
    const c10::InferenceMode inference;
    const CheckpointRef& checkpoint = checkpoints.of("lm");
    const std::filesystem::path base = base_folder(context.config, checkpoint);
    WeightChanges changes;
    DualAr model{nullptr};
    if (checkpoint.kind == CheckpointKind::kAdapter) {
      // In the file's type, so that it stays there: merged weights are made one by one.
      model = load_dual_ar(base, read_config(base), torch::kCPU, stored_dtype(*open_weights(base)));
      changes = merged_weights(*model, checkpoint, lora_scale, context.device);
    }
    Rounding rounding;
    write_checkpoint(base, out, changes, &rounding);
    return rounding;
  }
};

}  // namespace

std::unique_ptr<ModelAdapter> make_adapter() {
  return std::make_unique<FishS2ProAdapter>();
}

}  // namespace ttsft::fish_s2_pro
