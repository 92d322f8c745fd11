#include "models/voxtral/encoder_stage.h"

#include <cmath>

#include "models/voxtral/codes.h"
#include "models/voxtral/voices.h"
#include "models/voxtral/weights.h"
#include "ttsft/audio/audio.h"
#include "ttsft/core/error.h"
#include "ttsft/core/log.h"
#include "ttsft/model/link_release.h"
#include "ttsft/model/merge_adapter.h"
#include "ttsft/nn/rng.h"
#include "ttsft/nn/weights.h"

namespace ttsft::voxtral {
namespace {

namespace fs = std::filesystem;

constexpr double kPerturbed = 0.1;    // of an anchor's frames
constexpr double kLayerScale = 0.01;  // of a new encoder, as the release was initialised
constexpr double kInputGain = 10;     // speech is about a tenth of full scale

// [frames, 37], evenly over all codes.
torch::Tensor even_codes(const torch::Tensor& uniform, const CodecConfig& codec) {
  torch::Tensor sizes = torch::full({codec.codebooks()}, codec.levels, torch::kInt64);
  sizes[0] = codec.semantic_codes;
  return torch::minimum((uniform * sizes).to(torch::kInt64), sizes - 1);
}

}  // namespace

const std::vector<torch::Tensor>& Anchors::presets() const {
  const std::lock_guard lock(mutex_);
  if (presets_) return *presets_;
  presets_.emplace();
  std::optional<CodeRecovery> recover;
  for (const std::string& name : voice_names(config_)) {
    if (!fs::exists(checkpoint_ / kVoiceFolder / (name + ".pt"))) continue;
    if (!recover) recover.emplace(code_recovery(checkpoint_, config_));
    const RecoveredCodes found = (*recover)(read_voice(checkpoint_, config_, name));
    if (found.exact) presets_->push_back(found.codes);
  }
  if (presets_->empty()) {
    log_warning(
        "the codes behind the release's voices cannot be told: codes drawn evenly stand in ",
        "for them");
  } else {
    log_info("codes of ", presets_->size(), " voices of the release anchor the encoder");
  }
  return *presets_;
}

torch::Tensor Anchors::operator()(const std::string& id, int64_t frames, const Draw& draw) const {
  const CodecConfig& codec = config_.codec;
  const torch::Tensor even =
      even_codes(draw.uniform(id, "anchor", {frames, codec.codebooks()}), codec);
  const std::vector<torch::Tensor>& known = presets();
  if (known.empty()) return even;
  const torch::Tensor place = draw.uniform(id, "preset", {2});
  const auto pick = [](float uniform, int64_t count) {
    return std::min(static_cast<int64_t>(uniform * static_cast<float>(count)), count - 1);
  };
  const torch::Tensor& voice =
      known[static_cast<size_t>(pick(place[0].item<float>(), std::ssize(known)))];
  const int64_t from = pick(place[1].item<float>(), voice.size(0));
  const torch::Tensor window =
      voice.index_select(0, (torch::arange(frames, torch::kInt64) + from).remainder(voice.size(0)));
  const torch::Tensor replaced = draw.uniform(id, "replaced", {frames, 1}).lt(kPerturbed);
  return torch::where(replaced, even, window);
}

CodecEncoder fresh_encoder(const CodecConfig& config, uint64_t seed) {
  const torch::NoGradGuard no_grad;
  CodecEncoder encoder(config);
  for (const auto& item : encoder->named_parameters()) {
    const std::string& name = item.key();
    torch::Tensor value = item.value();
    if (name.ends_with("_scale")) {
      value.fill_(kLayerScale);
    } else if (value.dim() == 1) {
      value.fill_(1);  // of a norm
    } else {
      torch::Generator generator = make_generator(torch::kCPU, derive_seed(seed, name));
      const double fan_in = static_cast<double>(value.numel() / value.size(0));
      const double gain = name.starts_with("input_proj.") ? kInputGain : 1;
      value.normal_(0, gain / std::sqrt(fan_in), generator);
    }
    value.requires_grad_(false);
  }
  return encoder;
}

EncoderStage::EncoderStage(const ModelContext& context, const CheckpointRef& checkpoint)
    : run_(context.config),
      folder_(checkpoint.folder),
      config_(read_config(folder_)),
      // Of the release, whichever checkpoint is looked at: losses shall compare.
      anchors_(run_.checkpoint, config_) {
  const auto& options = static_cast<const Options&>(*run_.model_options);
  const bool own = options.encoder.empty() || checkpoint.kind == CheckpointKind::kFull;
  const fs::path file = own ? encoder_file(folder_) : options.encoder;
  fresh_ = file.empty();
  Codec codec = load_codec(folder_, config_.codec, context.device, file);
  encoder_ = codec.encoder;
  if (fresh_) {
    encoder_ =
        fresh_encoder(config_.codec, derive_seed(static_cast<uint64_t>(run_.seed), "new encoder"));
    encoder_->to(context.device);
  }
  codec.encoder = CodecEncoder(nullptr);
  module_ = ModuleGroup();
  module_->add("audio_tokenizer", encoder_);
  objective_ = std::make_unique<EncoderObjective>(
      codec, options.synthetic_weight,
      [this](const std::string& id, int64_t frames, const Draw& draw) {
        return anchors_(id, frames, draw);
      });
}

void EncoderStage::require_adaptable() const {
  if (fresh_)
    throw UsageError("the checkpoint has no encoder that an adapter could change", "train.method",
                     "train one with train.method: full");
}

std::unique_ptr<Sample> EncoderStage::read(const PreparedRow& row) {
  const std::string where = "utterance " + row.id;
  const std::string audio = row.row.value("audio", "");
  auto sample = std::make_unique<EncoderSample>();
  sample->id = row.id;
  const bool spoken = row.row.value("source", "") == "synthetic";
  if (!spoken && !audio.empty() && fs::is_regular_file(audio)) {
    sample->wave = torch::tensor(
        at_rate(decode_audio(audio).audio, static_cast<int>(config_.codec.sample_rate)));
    sample->length = sample->wave.size(0) / config_.codec.hop() + 1;
    return sample;
  }
  const auto codes = row.row.find("codes");
  if (codes == row.row.end() || codes->is_null())
    throw DataError(audio.empty() ? "neither a recording nor codes"
                                  : "the recording " + audio + " is not there",
                    where, "an encoder learns from recordings: keep them where prep found them");
  sample->codes = codes_of_row(*codes, config_, run_.data.prepared, where);
  sample->length = sample->codes.size(0);
  return sample;
}

std::unique_ptr<Sample> EncoderStage::random_sample(uint64_t seed) {
  constexpr int64_t kFrames = 12;
  torch::Generator generator = make_generator(torch::kCPU, derive_seed(seed, "random sample"));
  auto sample = std::make_unique<EncoderSample>();
  sample->id = "random";
  sample->wave = 0.1 * torch::randn({kFrames * config_.codec.hop()}, generator);
  sample->length = kFrames;
  return sample;
}

std::unique_ptr<Batch> EncoderStage::collate(std::span<const Sample* const> samples,
                                             const Draw& draw) const {
  std::vector<const EncoderSample*> rows;
  for (const Sample* sample : samples) rows.push_back(static_cast<const EncoderSample*>(sample));
  return std::make_unique<EncoderBatch>(objective_->collate(rows, draw));
}

std::vector<LossTerm> EncoderStage::loss(const Batch& batch, const LossRequest& request) {
  return objective_->loss(encoder_, static_cast<const EncoderBatch&>(batch), request.accuracy);
}

void EncoderStage::save_full(const fs::path& folder,
                             const std::map<std::string, torch::Tensor>& weights) {
  write_encoder(folder / kEncoderFile, encoder_, full_weights(*module_, weights));
  link_rest(folder_, folder);
}

}  // namespace ttsft::voxtral
