// IndexTTS2 behind the interface that the engines know.
#include "ttsft/model/basic_adapter.h"

#include "models/indextts2/options.h"
#include "models/indextts2/prep.h"
#include "models/indextts2/stage.h"
#include "models/indextts2/synth.h"
#include "models/indextts2/weights.h"
#include "ttsft/model/merge_adapter.h"

namespace ttsft::indextts2 {
namespace {

ModelInfo make_info() {
  ModelInfo i;
  i.name = "indextts2";
  i.folder = "indextts2";
  i.title = "IndexTTS2";
  i.paradigm =
      "autoregressive GPT-2 over semantic codes, flow matching to a mel spectrogram, BigVGAN "
      "vocoder";
  i.rates = {16000, 22050, 16000, 50};
  i.license = {"the bilibili Model Use License and, for the semantic codec, CC-BY-NC-4.0", false,
               "a licence of bilibili's own is needed above 100 million monthly users or 1 "
               "billion RMB a year"};
  i.stages = {"lm"};
  i.lora_targets = {"c_attn", "c_proj", "c_fc"};
  i.markup = {"<[^<>|]{1,8}\\|[^<>|]{1,16}>"};  // a word with its reading
  i.releases = {"IndexTeam/IndexTTS-2 (version 2.0)"};
  i.peft_task_type = "";  // UnifiedVoice is no causal language model of Hugging Face
  return i;
}

using Adapter = BasicAdapter<Options, SpeechPreparer, LmStage, SpeechSynthesizer>;

class IndexTts2Adapter : public Adapter {
 public:
  IndexTts2Adapter() : Adapter(make_info()) {}

  void preset(RunConfig& config) const override {
    config.lora.targets.endings = info().lora_targets;
    config.lora.rank = 16;
    config.lora.alpha = 32;
    config.train.method = "full";
    config.train.dropout = 0.1;
    config.train.optimizer.learning_rate = 1e-5;
    config.synth.temperature = 0.8;
    config.synth.top_k = 30;
    config.synth.top_p = 0.8;
    config.synth.beams = 3;
    config.synth.repetition_penalty = 10.0;
    config.synth.length_penalty = 0.0;
    config.synth.max_frames = 1500;
  }

  // Upstream skips a position behind the start and punishes codes that come back, which those of
  // real speech do.
  void speak_as_trained(RunConfig& config) const override {
    options_of(config).mel_positions = "training";
    config.synth.repetition_penalty = 1.0;
    config.synth.beams = 1;
  }

  void speak_as(RunConfig& config, const LearnedVoice& voice) const override {
    speak_as_recorded(config, voice);
  }

  std::vector<std::string> encoded_keys() const override {
    return {"codes_path", "target_codes_path"};
  }

  std::string recognise(const std::filesystem::path& folder) const override {
    return recognise_release(folder);
  }

  Rounding export_checkpoint(const ModelContext& context, const CheckpointSet& checkpoints,
                             double lora_scale, const std::filesystem::path& out) const override;
};

Rounding IndexTts2Adapter::export_checkpoint(const ModelContext& context,
                                             const CheckpointSet& checkpoints, double lora_scale,
                                             const std::filesystem::path& out) const {
  c10::InferenceMode inference;
  const CheckpointRef& checkpoint = checkpoints.of("lm");
  const Config config = read_config(base_folder(context.config, checkpoint));
  WeightChanges changes;
  if (checkpoint.kind == CheckpointKind::kAdapter) {
    // As the file stores it, so that it stays there; each weight is merged in float32.
    const auto file = open_gpt(config.gpt_file);
    UnifiedVoice model =
        load_gpt(file, config.gpt, /*dropout=*/0.0, torch::kCPU, stored_dtype(*file));
    changes = merged_weights(*model, checkpoint, lora_scale, context.device);
  }
  const auto& options = options_of(context.config);
  Rounding rounding;
  write_release(config, out, changes,
                options.export_precision == "float16"   ? GptPrecision::kFloat16
                : options.export_precision == "float32" ? GptPrecision::kFloat32
                                                        : GptPrecision::kKeep,
                /*vocabulary=*/{}, &rounding);
  return rounding;
}

}  // namespace

std::unique_ptr<ModelAdapter> make_adapter() {
  return std::make_unique<IndexTts2Adapter>();
}

}  // namespace ttsft::indextts2
