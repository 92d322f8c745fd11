#include "models/voxtral/stage.h"

#include "models/voxtral/codes.h"
#include "models/voxtral/voices.h"
#include "models/voxtral/weights.h"
#include "ttsft/core/error.h"
#include "ttsft/io/npy.h"
#include "ttsft/model/merge_adapter.h"
#include "ttsft/nn/rng.h"

namespace ttsft::voxtral {
namespace {

constexpr std::string_view kPreset = "voice:";

const SpeechSample& speech(const Sample& sample) {
  return static_cast<const SpeechSample&>(sample);
}
const SpeechBatch& speech(const Batch& batch) {
  return static_cast<const SpeechBatch&>(batch);
}

torch::Tensor weights_of(const nlohmann::ordered_json& row, int64_t frames,
                         const std::string& where) {
  const auto found = row.find("weight");
  if (found == row.end() || found->is_null()) return {};
  if (!found->is_array() || std::ssize(*found) != frames)
    throw DataError("`weight` is no list of " + std::to_string(frames) + " numbers", where,
                    "give one weight a frame, or none");
  std::vector<float> weights;
  for (const auto& value : *found) {
    if (!value.is_number() || value.get<double>() < 0)
      throw DataError("a weight is no number of 0 or more", where);
    weights.push_back(value.get<float>());
  }
  return torch::tensor(weights);
}

}  // namespace

LmStage::LmStage(const ModelContext& context, const CheckpointRef& checkpoint)
    : run_(context.config),
      options_(static_cast<const Options&>(*context.config.model_options)),
      folder_(checkpoint.folder),
      config_(read_config(folder_)),
      tokenizer_(folder_),
      objective_(config_, tokenizer_.prompt(), options_.guidance_drop, options_.acoustic_weight),
      lm_(load_lm(folder_, config_, context.device, context.dtype)) {}

bool LmStage::trainable(const std::string& parameter) const {
  return parameter != "mm_audio_embeddings.tok_embeddings.weight";
}

const Clips& LmStage::clips() const {
  const std::lock_guard lock(mutex_);
  if (!clips_) clips_.emplace(PreparedSet::open(run_.data.prepared, run_.model).all(), config_);
  return *clips_;
}

torch::Tensor LmStage::preset(const std::string& name) {
  const std::lock_guard lock(mutex_);
  torch::Tensor& rows = presets_[name];
  if (!rows.defined()) rows = read_voice(folder_, config_, name);
  return rows;
}

// A row's own reference, else data.reference as prep has encoded it, else one to be drawn.
VoiceRows LmStage::voice_of(const PreparedRow& row, const std::string& where) {
  const auto text = [&](const char* key) {
    const auto found = row.row.find(key);
    return found != row.row.end() && found->is_string() ? found->get<std::string>() : "";
  };
  const std::string ref = text("ref"), encoded = text("ref_codes");
  if (ref.starts_with(kPreset)) return {{}, preset(ref.substr(kPreset.size()))};
  if (!ref.empty()) return {clips().codes(ref, where), {}};
  if (!encoded.empty()) return {read_codes_file(run_.data.prepared / encoded, config_), {}};
  if (clips().others(row.id).empty())
    throw DataError("no voice: the set has no other clip of its speaker", where,
                    "name a recording in data.reference, or a voice of the release as "
                    "`ref: voice:NAME` in the row");
  return {};
}

std::unique_ptr<Sample> LmStage::read(const PreparedRow& row) {
  const std::string where = "utterance " + row.id;
  const auto codes = row.row.find("codes");
  if (codes == row.row.end() || codes->is_null())
    throw DataError("the row has no codes", where,
                    "run ttsft prep again, with voxtral.codes: auto or invert");
  auto sample = std::make_unique<SpeechSample>();
  sample->id = row.id;
  sample->text = tokenizer_.encode(row.row.value("text", ""));
  const torch::Tensor frames = codes_of_row(*codes, config_, run_.data.prepared, where);
  sample->codes = frames.to(torch::kInt16);
  sample->weight = weights_of(row.row, frames.size(0), where);
  sample->voice = voice_of(row, where);
  int64_t voice = 0;
  if (sample->voice.known()) {
    voice = sample->voice.size();
  } else {
    for (const std::string& id : clips().others(row.id))
      voice = std::max(voice, clips().frames(id));
    voice = std::min(voice, static_cast<int64_t>(kMostVoice * config_.codec.frame_rate())) + 1;
  }
  sample->length = tokenizer_.prompt().size(voice, std::ssize(sample->text)) + frames.size(0);
  if (sample->length > config_.max_positions)
    throw DataError(std::to_string(sample->length) + " positions, the model has places for " +
                        std::to_string(config_.max_positions),
                    where, "cut the recording, and run ttsft prep again");
  return sample;
}

std::unique_ptr<Sample> LmStage::random_sample(uint64_t seed) {
  constexpr int64_t kFrames = 12, kVoiceFrames = 8;
  torch::Generator generator = make_generator(torch::kCPU, derive_seed(seed, "random sample"));
  const CodecConfig& codec = config_.codec;
  const auto random_codes = [&](int64_t frames) {
    return torch::cat(
        {torch::randint(0, codec.semantic_codes, {frames, 1}, generator, torch::kInt64),
         torch::randint(0, codec.levels, {frames, codec.acoustic_dim}, generator, torch::kInt64)},
        1);
  };
  auto sample = std::make_unique<SpeechSample>();
  sample->id = "random";
  sample->text = tokenizer_.encode("a sentence to compare logits with");
  sample->codes = random_codes(kFrames).to(torch::kInt16);
  sample->voice.codes = random_codes(kVoiceFrames);
  sample->length =
      tokenizer_.prompt().size(sample->voice.size(), std::ssize(sample->text)) + kFrames;
  return sample;
}

VoiceRows LmStage::drawn_voice(const SpeechSample& sample, const Draw& draw) const {
  const std::vector<std::string> others = clips().others(sample.id);
  const Draw own{.training = draw.training, .seed = draw.seed};  // no replay names it
  const auto place = static_cast<size_t>(own.uniform(sample.id, "voice", {1}).item<float>() *
                                         static_cast<float>(others.size()));
  const std::string& id = others[std::min(place, others.size() - 1)];
  return {cut_voice(clips().codes(id, "utterance " + sample.id), config_.codec), {}};
}

std::unique_ptr<Batch> LmStage::collate(std::span<const Sample* const> samples,
                                        const Draw& draw) const {
  std::vector<const SpeechSample*> rows;
  std::vector<VoiceRows> voices;
  for (const Sample* sample : samples) {
    rows.push_back(&speech(*sample));
    const VoiceRows& voice = rows.back()->voice;
    voices.push_back(voice.known() ? voice : drawn_voice(*rows.back(), draw));
  }
  return std::make_unique<SpeechBatch>(objective_.collate(rows, voices, draw));
}

std::vector<LossTerm> LmStage::loss(const Batch& batch, const LossRequest& request) {
  return objective_.loss(lm_, speech(batch), request.accuracy);
}

LanguageStage::Sequence LmStage::sequence(const Batch& batch) {
  const SpeechBatch& b = speech(batch);
  return {objective_.embed(lm_, b), b.label_position, b.label};
}

LanguageStage::Forward LmStage::decoder(int64_t capacity, const torch::Tensor& like) {
  return [this, cache = lm_->backbone()->make_cache(1, capacity, like.options())](
             const torch::Tensor& inputs) mutable {
    return lm_->backbone()->forward(inputs, {}, {}, &cache);
  };
}

torch::Tensor LmStage::logits(const torch::Tensor& states) {
  return torch::linear(lm_->norm(states), lm_->acoustic_transformer->semantic_rows());
}

torch::Tensor LmStage::target_codes(const Sample& sample) const {
  return speech(sample).codes.to(torch::kInt64);
}

void LmStage::save_full(const std::filesystem::path& folder,
                        const std::map<std::string, torch::Tensor>& weights) {
  write_lm(folder_, folder, full_weights(*lm_, weights));
}

}  // namespace ttsft::voxtral
