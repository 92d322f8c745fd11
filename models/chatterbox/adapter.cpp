// Chatterbox behind the interface that the engines know.
#include "ttsft/model/basic_adapter.h"

#include "models/chatterbox/options.h"
#include "models/chatterbox/prep.h"
#include "models/chatterbox/stage.h"
#include "models/chatterbox/synth.h"
#include "models/chatterbox/weights.h"
#include "ttsft/core/error.h"
#include "ttsft/core/log.h"
#include "ttsft/model/merge_adapter.h"

namespace ttsft::chatterbox {
namespace {

ModelInfo make_info() {
  ModelInfo i;
  i.name = "chatterbox";
  i.folder = "chatterbox";
  i.title = "Chatterbox English";
  i.paradigm =
      "autoregressive Llama over S3 speech codes, flow matching to a mel spectrogram, HiFT "
      "vocoder";
  i.rates = {kTokenizerRate, kOutputRate, kTokenizerRate, kCodesPerSecond};
  i.license = {"MIT", true, ""};
  i.stages = {"lm"};
  i.lora_targets = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"};
  i.releases = {"ResembleAI/chatterbox (English)"};
  i.peft_task_type = "";  // T3 is no causal language model of Hugging Face
  return i;
}

using Adapter = BasicAdapter<Options, SpeechPreparer, LmStage, SpeechSynthesizer>;

class ChatterboxAdapter : public Adapter {
 public:
  ChatterboxAdapter() : Adapter(make_info()) {}

  void preset(RunConfig& config) const override {
    config.lora.targets.endings = info().lora_targets;
    config.lora.rank = 16;
    config.lora.alpha = 32;
    config.train.optimizer.learning_rate = 5e-5;
    config.synth.temperature = 0.8;
    config.synth.top_k = 0;
    config.synth.top_p = 1.0;
    config.synth.min_p = 0.05;
    config.synth.repetition_penalty = 1.2;
    config.synth.max_frames = 1000;
  }

  // Upstream feeds two start tokens and guides with a branch that nobody trains. Training hears the
  // voice that synth is given.
  void speak_as_trained(RunConfig& config) const override {
    ConditionChoice& condition = options_of(config).condition;
    condition.file = config.data.reference.file;
    if (!condition.file.empty()) condition.kind = ConditionChoice::Kind::kFile;
    options_of(config).bos = "one";
    options_of(config).cfg_weight = 0;
  }

  // One voice alone is in conds.pt already.
  void speak_as(RunConfig& config, const LearnedVoice& voice) const override {
    if (voice.among > 1) speak_as_recorded(config, voice);
  }

  std::vector<std::string> encoded_keys() const override { return {"cache"}; }

  std::string recognise(const std::filesystem::path& folder) const override {
    if (const std::string other = other_release(folder); !other.empty())
      throw DataError(other + " is not supported", folder.string(),
                      "take the English release: t3_cfg, s3gen and ve.safetensors, tokenizer.json");
    try {
      const Config c = read_config(folder);
      return info().title + ": T3 of " + std::to_string(c.t3.num_hidden_layers) + " layers of " +
             std::to_string(c.t3.hidden_size) + ", " + std::to_string(c.t3.text_vocab) +
             " text ids, " + std::to_string(c.t3.speech_vocab) + " speech ids" +
             (std::filesystem::exists(folder / kVoiceFile) ? ", a built-in voice" : "");
    } catch (const Error&) {
      return "";
    }
  }

  Rounding export_checkpoint(const ModelContext& context, const CheckpointSet& checkpoints,
                             double lora_scale, const std::filesystem::path& out) const override;
};

Rounding ChatterboxAdapter::export_checkpoint(const ModelContext& context,
                                              const CheckpointSet& checkpoints, double lora_scale,
                                              const std::filesystem::path& out) const {
  c10::InferenceMode inference;
  const CheckpointRef& checkpoint = checkpoints.of("lm");
  const std::filesystem::path base = base_folder(context.config, checkpoint);
  const Config config = read_config(base);
  WeightChanges changes;
  if (checkpoint.kind == CheckpointKind::kAdapter) {
    // As the file stores it, so that it stays there; each weight is merged in float32.
    T3 t3 = load_t3(base, config.t3, torch::kCPU, stored_dtype(*open_weights(base, "t3_cfg")));
    changes = merged_weights(*t3, checkpoint, lora_scale, context.device);
  }
  Rounding rounding;
  write_checkpoint(base, out, changes, &rounding);
  try {
    const Voice voice = resolve_voice(context, checkpoint, config);
    const auto& options = options_of(context.config);
    write_voice(out / kVoiceFile, voice, options.exaggeration);
  } catch (const UsageError&) {
    log_warning("the exported checkpoint has no conds.pt: whoever uses it must name a recording");
  }
  return rounding;
}

}  // namespace

std::unique_ptr<ModelAdapter> make_adapter() {
  return std::make_unique<ChatterboxAdapter>();
}

}  // namespace ttsft::chatterbox
