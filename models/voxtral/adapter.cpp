// Voxtral TTS behind the interface that the engines know.
#include "models/voxtral/encoder_stage.h"
#include "models/voxtral/encoding.h"
#include "models/voxtral/options.h"
#include "models/voxtral/prep.h"
#include "models/voxtral/stage.h"
#include "models/voxtral/synth.h"
#include "models/voxtral/voices.h"
#include "models/voxtral/weights.h"
#include "ttsft/core/error.h"
#include "ttsft/core/log.h"
#include "ttsft/io/atomic_file.h"
#include "ttsft/io/json_reader.h"
#include "ttsft/model/basic_adapter.h"
#include "ttsft/model/link_release.h"
#include "ttsft/model/merge_adapter.h"
#include "ttsft/nn/weights.h"

namespace ttsft::voxtral {
namespace {

namespace fs = std::filesystem;

// PEFT's list of names would hit the flow's transformer too, whose members are called the same.
constexpr const char* kBackboneSites =
    R"(layers\.\d+\.(attention\.(wq|wk|wv|wo)|feed_forward\.(w1|w2|w3)))";

ModelInfo make_info() {
  ModelInfo i;
  i.name = "voxtral";
  i.folder = "voxtral";
  i.title = "Voxtral TTS";
  i.paradigm =
      "autoregressive decoder over text and frames, flow matching for the 36 acoustic codes of "
      "each "
      "frame, causal codec";
  i.rates = {24000, 24000, 0, 12.5};
  i.license = {"CC BY-NC 4.0", false,
               "non-commercial use only; it covers the voices, adapters and merged weights too",
               "cc-by-nc-4.0"};
  i.stages = {"lm", "encoder"};
  i.stage_modules = {{"lm", {"layers.", "norm", "acoustic_transformer.", "mm_audio_embeddings."}},
                     {"encoder", {"audio_tokenizer."}}};
  i.lora_targets = {"wq", "wk", "wv", "wo", "w1", "w2", "w3"};
  i.stage_lora_targets = {{"encoder", i.lora_targets}};
  i.prep_stages = {"encoder"};
  i.releases = {"mistralai/Voxtral-4B-TTS-2603"};
  i.peft_task_type = "";
  return i;
}

using Adapter = BasicAdapter<Options, SpeechPreparer, LmStage, SpeechSynthesizer>;

class VoxtralAdapter : public Adapter {
 public:
  VoxtralAdapter() : Adapter(make_info()) {}

  void preset(RunConfig& config) const override {
    config.lora.targets.regex = kBackboneSites;
    config.lora.rank = 32;
    config.lora.alpha = 32;
    config.lora.dropout = 0;
    config.train.optimizer.learning_rate = 1e-4;
    config.train.optimizer.betas = {0.9, 0.95};
    config.train.optimizer.weight_decay = 0.01;
    config.synth.temperature = 1;
    config.synth.top_k = 1;  // the likeliest code always, as upstream
    config.synth.top_p = 1;
    config.synth.max_frames = 2048;  // 164 s
  }

  // Guidance moves every frame away from what was learned, by design.
  void speak_as_trained(RunConfig& config) const override { options_of(config).cfg_alpha = 1; }

  std::vector<std::string> encoded_keys() const override { return {"codes"}; }

  std::vector<std::string> named_voices(const RunConfig& config,
                                        const CheckpointSet& checkpoints) const override {
    return voice_names(read_config(base_folder(config, checkpoints.of("lm"))));
  }

  std::string recognise(const fs::path& folder) const override;
  Abilities abilities(const fs::path& folder) const override {
    return abilities_with(!encoder_file(folder).empty());
  }
  Abilities abilities_under(const RunConfig& config) const override {
    const Options& options = options_of(config);
    const Encoding encoding = choose_encoding(
        options, !options.encoder.empty() || !encoder_file(config.checkpoint).empty(),
        config.train.stage);
    return abilities_with(encoding != Encoding::kMissing);
  }

  std::unique_ptr<Stage> make_stage(const ModelContext& context,
                                    const CheckpointRef& checkpoint) const override {
    if (context.config.train.stage == "encoder")
      return std::make_unique<EncoderStage>(context, checkpoint);
    return Adapter::make_stage(context, checkpoint);
  }

  Rounding export_checkpoint(const ModelContext& context, const CheckpointSet& checkpoints,
                             double lora_scale, const fs::path& out) const override;

 private:
  Abilities abilities_with(bool encodes) const {
    Abilities can;
    can.encode_audio = can.clone = encodes;
    can.stream = true;
    can.stages = info().stages;
    if (!encodes) {
      can.why_not = kNoEncoder;
      can.remedy = kNoEncoderRemedy;
    }
    return can;
  }
  void export_encoder(const ModelContext& context, const CheckpointRef& own, double lora_scale,
                      const fs::path& out) const;
  void export_voice(const ModelContext& context, const CheckpointSet& checkpoints,
                    const fs::path& base, const fs::path& out) const;
};

std::string VoxtralAdapter::recognise(const fs::path& folder) const {
  if (!fs::exists(folder / kParamsFile)) return "";
  const auto json = read_json_object(folder / kParamsFile);
  const auto multimodal = json.find("multimodal");
  if (multimodal == json.end() || !multimodal->is_object()) return "";
  if (multimodal->contains("whisper_model_args"))
    throw DataError("Voxtral for speech recognition is not supported", folder.string(),
                    "take mistralai/Voxtral-4B-TTS-2603");
  if (!multimodal->contains("audio_tokenizer_args")) return "";
  const Config c = read_config(folder);
  const fs::path encoder = encoder_file(folder);
  return info().title + ": " + std::to_string(c.lm.layers) + " layers of " +
         std::to_string(c.lm.dim) + ", flow of " + std::to_string(c.flow.layers) + " layers, " +
         std::to_string(c.codec.codebooks()) + " codebooks, " + std::to_string(c.voices.size()) +
         " voices, " +
         (encoder.empty() ? "no codec encoder" : "codec encoder in " + encoder.filename().string());
}

void VoxtralAdapter::export_encoder(const ModelContext& context, const CheckpointRef& own,
                                    double lora_scale, const fs::path& out) const {
  if (own.kind == CheckpointKind::kBase) return;
  if (own.kind == CheckpointKind::kFull) {
    const fs::path file = encoder_file(own.folder);
    if (file.filename() == kEncoderFile) link_or_copy(file, out / kEncoderFile);
    return;
  }
  const fs::path base = base_folder(context.config, own);
  const fs::path file = encoder_file(base);
  if (file.empty()) throw DataError(kNoEncoder, own.folder.string(), kNoEncoderRemedy);
  CodecEncoder encoder = load_encoder(file, read_config(base).codec, torch::kCPU);
  ModuleGroup module;
  module->add("audio_tokenizer", encoder);
  write_encoder(out / kEncoderFile, encoder,
                merged_weights(*module, own, lora_scale, context.device));
}

// A new voice under data.speaker, of data.reference or of a clip of the set.
void VoxtralAdapter::export_voice(const ModelContext& context, const CheckpointSet& checkpoints,
                                  const fs::path& base, const fs::path& out) const {
  const RunConfig& run = context.config;
  const Config config = read_config(base);
  if (run.data.speaker.empty() || config.voices.contains(run.data.speaker)) return;
  const Options& options = options_of(run);
  Codec codec =
      load_codec(base, config.codec, context.device, encoder_of(checkpoints, options, base));
  const torch::Tensor codes = voice_of_run(run, options, config, codec);
  if (!codes.defined()) return;
  check_voice_name(config, run.data.speaker);
  const auto weights = open_weights(out);
  const torch::Tensor rows =
      voice_rows(copy_tensor(weights->at(kCodebookTable)).to(torch::kFloat32), codes, config);
  write_voice(base, out, run.data.speaker, rows);
  log_info("voice ", run.data.speaker, ": ", rows.size(0), " rows, of ", codes.size(0), " frames");
}

Rounding VoxtralAdapter::export_checkpoint(const ModelContext& context,
                                           const CheckpointSet& checkpoints, double lora_scale,
                                           const fs::path& out) const {
  const torch::NoGradGuard no_grad;
  const CheckpointRef& lm = checkpoints.of("lm");
  const fs::path base = base_folder(context.config, lm);
  Rounding rounding;
  fs::create_directories(out);
  if (lm.kind == CheckpointKind::kAdapter) {
    // In the file's type, so that it stays there: merged weights are made one by one.
    const auto weights = open_weights(base);
    Lm model = load_lm(base, read_config(base), torch::kCPU, stored_dtype(*weights));
    write_weights(out / kWeightsFile, as_they_are(weights->tensors()),
                  merged_weights(*model, lm, lora_scale, context.device), &rounding);
  } else {
    link_or_copy(base / kWeightsFile, out / kWeightsFile);
  }
  if (const auto own = checkpoints.stages.find("encoder"); own != checkpoints.stages.end())
    export_encoder(context, own->second, lora_scale, out);
  export_voice(context, checkpoints, base, out);
  link_rest(base, out);
  return rounding;
}

}  // namespace

std::unique_ptr<ModelAdapter> make_adapter() {
  return std::make_unique<VoxtralAdapter>();
}

}  // namespace ttsft::voxtral
