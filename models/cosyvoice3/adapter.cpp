// CosyVoice 3 behind the interface that the engines know.
#include "models/cosyvoice3/prep.h"
#include "models/cosyvoice3/stage.h"
#include "models/cosyvoice3/synth.h"
#include "models/cosyvoice3/weights.h"
#include "ttsft/core/error.h"
#include "ttsft/model/basic_adapter.h"
#include "ttsft/model/link_release.h"
#include "ttsft/model/merge_adapter.h"
#include "ttsft/model/voices.h"

namespace ttsft::cosyvoice3 {
namespace {

ModelInfo make_info() {
  ModelInfo i;
  i.name = "cosyvoice3";
  i.folder = "cosyvoice3";
  i.title = "CosyVoice 3";
  i.paradigm =
      "autoregressive Qwen2 over S3 speech codes, flow matching by a DiT to a mel spectrogram, "
      "causal "
      "HiFT vocoder";
  i.rates = {kTokenizerRate, kOutputRate, kTokenizerRate, kCodesPerSecond};
  i.license = {"Apache-2.0", true, ""};
  i.stages = {"lm", "flow"};
  i.stage_modules = {{"lm", {"model.", "llm_decoder"}},
                     {"flow", {"decoder.estimator.", "spk_embed_affine_layer"}}};
  i.lora_targets = {"q_proj", "k_proj", "v_proj", "o_proj"};
  i.stage_lora_targets = {{"flow", {"to_q", "to_k", "to_v", "to_out.0", "ff.0.0", "ff.2"}}};
  i.markup = {"</?(?:strong|laughter)>", "<\\|[^|<>]+\\|>", "\\[[^\\[\\]]+\\]"};
  i.releases = {"FunAudioLLM/Fun-CosyVoice3-0.5B-2512"};
  return i;
}

using Adapter = BasicAdapter<Options, SpeechPreparer, LmStage, SpeechSynthesizer>;

class CosyVoice3Adapter : public Adapter {
 public:
  CosyVoice3Adapter() : Adapter(make_info()) {}

  void preset(RunConfig& config) const override {
    config.lora.targets.endings = info().lora_targets;
    config.lora.rank = 16;
    config.lora.alpha = 64;
    config.lora.dropout = 0.05;
    config.train.optimizer.learning_rate = 5e-5;
    config.train.optimizer.weight_decay = 0;
    config.synth.temperature = 1;
    config.synth.top_k = 25;
    config.synth.top_p = 0.8;
    config.synth.max_frames = 1500;  // a minute, for each segment
  }

  // Training hears no voice and no prompt: text behind an instruction, as mode sft has it.
  void speak_as_trained(RunConfig& config) const override {
    options_of(config).mode = "cross_lingual";
    options_of(config).normalize = "off";
    options_of(config).bistream = 0;
    options_of(config).min_token_text_ratio = 0;  // a clip may be shorter than upstream lets it be
  }

  std::vector<std::string> encoded_keys() const override { return {"speech_token"}; }

  static bool needs_recording(const std::string& mode) {
    return mode == "cross_lingual" || mode == "instruct2";
  }

  std::string recognise(const std::filesystem::path& folder) const override {
    if (const std::string other = other_release(folder); !other.empty())
      throw DataError(other + " is not supported", folder.string(),
                      "take Fun-CosyVoice3-0.5B-2512: cosyvoice3.yaml, llm.pt, flow.pt, hift.pt");
    if (!std::filesystem::exists(folder / "cosyvoice3.yaml")) return "";
    const bool base = std::filesystem::exists(folder / "llm.pt");
    const LmConfig lm = read_config(folder, base ? "llm.pt" : "llm.rl.pt").lm;
    return info().title + ": Qwen2 of " + std::to_string(lm.num_hidden_layers) + " layers of " +
           std::to_string(lm.hidden_size) + ", " + std::to_string(lm.codes) + " codes, " +
           std::to_string(stored_voices(folder).size()) + " stored voices";
  }

  Abilities abilities(const std::filesystem::path& folder) const override {
    Abilities can = ModelAdapter::abilities(folder);
    can.stream = true;
    return can;
  }

  std::vector<std::string> named_voices(const RunConfig& config,
                                        const CheckpointSet& checkpoints) const override {
    std::vector<std::string> names;
    if (needs_recording(options_of(config).mode)) return names;
    for (const std::filesystem::path& folder :
         {checkpoints.of("lm").folder, checkpoints.of("flow").folder, config.checkpoint})
      for (std::string& name : stored_voices(folder)) names.push_back(std::move(name));
    return names;
  }

  // In the modes that hear a recording a learned voice is the one that prep chose.
  void speak_as(RunConfig& config, const LearnedVoice& voice) const override {
    speak_as_recorded(config, voice);
    auto own = std::make_shared<Options>(options_of(std::as_const(config)));
    own->reference_text = voice.text;
    config.model_options = std::move(own);
  }

  std::unique_ptr<Stage> make_stage(const ModelContext& context,
                                    const CheckpointRef& checkpoint) const override {
    if (context.config.train.stage == "flow")
      return std::make_unique<FlowStage>(context, checkpoint);
    return Adapter::make_stage(context, checkpoint);
  }

  Rounding export_checkpoint(const ModelContext& context, const CheckpointSet& checkpoints,
                             double lora_scale, const std::filesystem::path& out) const override;
};

Rounding CosyVoice3Adapter::export_checkpoint(const ModelContext& context,
                                              const CheckpointSet& checkpoints, double lora_scale,
                                              const std::filesystem::path& out) const {
  const c10::InferenceMode inference;
  Rounding rounding;
  const std::string talker = options_of(context.config).talker_file();
  const CheckpointRef &lm = checkpoints.of("lm"), &flow = checkpoints.of("flow");
  const auto write = [&](const CheckpointRef& own, const std::string& file,
                         torch::nn::Module& module) {
    write_stage_file(base_folder(context.config, own), out, file,
                     merged_weights(module, own, lora_scale, context.device), &rounding);
  };
  const auto folder = [&](const CheckpointRef& own) { return base_folder(context.config, own); };
  if (lm.kind != CheckpointKind::kBase)
    write(lm, talker,
          *load_lm(open_tensor_file(folder(lm) / talker), read_config(folder(lm), talker).lm,
                   torch::kCPU, torch::kFloat32));
  if (flow.kind != CheckpointKind::kBase && flow.folder != lm.folder)
    write(flow, kFlowFile, *load_flow(open_tensor_file(folder(flow) / kFlowFile), 0, torch::kCPU));
  // Voices of the checkpoints over those of the release.
  const std::filesystem::path base = context.config.checkpoint;
  Voices voices;
  for (const CheckpointRef* own : {&flow, &lm}) {
    if (own->kind == CheckpointKind::kBase) continue;
    for (const std::string& name : stored_voices(own->folder)) {
      const torch::Tensor vector =
          stored_voice(own->folder, name, /*vector_only=*/true, 80).flow.embedding.contiguous();
      const auto known = stored_voices(base);
      if (std::find(known.begin(), known.end(), name) != known.end()) continue;
      voices[name].assign(vector.data_ptr<float>(), vector.data_ptr<float>() + vector.numel());
    }
  }
  write_voices(base, out, voices);
  for (const CheckpointRef* own : {&lm, &flow})
    if (own->kind == CheckpointKind::kFull) link_rest(own->folder, out);
  link_rest(base, out);
  return rounding;
}

}  // namespace

std::unique_ptr<ModelAdapter> make_adapter() {
  return std::make_unique<CosyVoice3Adapter>();
}

}  // namespace ttsft::cosyvoice3
