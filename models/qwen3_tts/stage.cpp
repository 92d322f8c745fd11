#include "models/qwen3_tts/stage.h"

#include "ttsft/core/error.h"
#include "ttsft/core/strings.h"
#include "ttsft/io/atomic_file.h"
#include "ttsft/model/merge_adapter.h"
#include "ttsft/nn/rng.h"

namespace ttsft::qwen3_tts {
namespace {

constexpr const char* kSpeakersFile = "speakers.safetensors";

const SpeechSample& speech(const Sample& sample) {
  return static_cast<const SpeechSample&>(sample);
}
const SpeechBatch& speech(const Batch& batch) {
  return static_cast<const SpeechBatch&>(batch);
}

}  // namespace

torch::Tensor read_codes(const nlohmann::ordered_json& row, const Config& config,
                         const std::string& where) {
  const int64_t groups = config.talker.num_code_groups;
  const auto fail = [&](const std::string& what) {
    throw DataError(what, where,
                    "audio_codes must be [[" + std::to_string(groups) +
                        " integers] per frame], run ttsft prep");
  };
  if (!row.contains("audio_codes") || !row["audio_codes"].is_array() || row["audio_codes"].empty())
    fail("no audio_codes");
  const auto& frames = row["audio_codes"];
  torch::Tensor codes = torch::empty({static_cast<int64_t>(frames.size()), groups}, torch::kInt64);
  auto out = codes.accessor<int64_t, 2>();
  for (size_t f = 0; f < frames.size(); ++f) {
    if (!frames[f].is_array() || static_cast<int64_t>(frames[f].size()) != groups)
      fail("frame " + std::to_string(f) + " of audio_codes has not " + std::to_string(groups) +
           " codes");
    for (int64_t k = 0; k < groups; ++k) {
      const auto& value = frames[f][static_cast<size_t>(k)];
      if (!value.is_number_integer())
        fail("a code in frame " + std::to_string(f) + " is not an integer");
      const int64_t code = value.get<int64_t>();
      if (code < 0 || code >= config.talker.code_predictor.vocab_size)
        fail("code " + std::to_string(code) + " in frame " + std::to_string(f) +
             " is outside the codebook");
      out[static_cast<int64_t>(f)][k] = code;
    }
  }
  return codes;
}

LmStage::LmStage(const ModelContext& context, const CheckpointRef& checkpoint)
    : run_(context.config),
      options_(static_cast<const Options&>(*context.config.model_options)),
      folder_(checkpoint.folder),
      config_(read_config(folder_)),
      text_(folder_, config_, options_.split_pattern),
      objective_(config_, text_.role(), options_.sub_talker_weight) {
  model_ = load_talker(std::make_shared<SafetensorsReader>(SafetensorsReader::open(folder_)),
                       config_, context.device, context.dtype);
}

const Speakers& LmStage::speakers() {
  const std::lock_guard lock(reading_);
  if (speakers_.empty()) speakers_ = load_speakers(run_.data.prepared / kSpeakersFile);
  return speakers_;
}

int64_t LmStage::language_id(const std::string& name, const std::string& where) const {
  if (name.empty() || name == "auto") return -1;
  if (const auto id = config_.talker.language_id(to_lower_ascii(name))) return *id;
  throw DataError("unknown language '" + name + "'", where,
                  "known: " + config_.talker.language_names());
}

std::unique_ptr<Sample> LmStage::read(const PreparedRow& row) {
  auto sample = std::make_unique<SpeechSample>();
  const std::string where = "utterance " + row.id;
  sample->id = row.id;
  sample->codes = read_codes(row.row, config_, where).to(torch::kInt16);
  sample->text = text_.speech(row.row.value("text", ""));
  const std::string name = speaker_key(row.row.value("speaker", run_.data.speaker));
  const auto vector = speakers().find(name);
  if (vector == speakers().end())
    throw DataError("the prepared set has no vector of speaker '" + name + "'", where,
                    "run ttsft prep again");
  sample->speaker = vector->second;
  if (sample->speaker.numel() != config_.talker.hidden_size)
    throw DataError("the vector of speaker '" + name + "' has " +
                        std::to_string(sample->speaker.numel()) + " values, the model " +
                        std::to_string(config_.talker.hidden_size),
                    where, "the set was prepared for another checkpoint; run ttsft prep again");
  if (options_.language_tags)
    sample->language = language_id(row.row.value("language", options_.language), where);
  sample->length = objective_.length(*sample);
  return sample;
}

std::unique_ptr<Sample> LmStage::random_sample(uint64_t seed) {
  constexpr int64_t kFrames = 12;
  torch::Generator generator = make_generator(torch::kCPU, derive_seed(seed, "random sample"));
  auto sample = std::make_unique<SpeechSample>();
  sample->id = "random";
  sample->text = text_.speech("a sentence to compare logits with");
  sample->codes = torch::randint(0, config_.talker.code_predictor.vocab_size,
                                 {kFrames, config_.talker.num_code_groups}, generator,
                                 torch::TensorOptions().dtype(torch::kInt16));
  sample->speaker =
      torch::randn({config_.talker.hidden_size}, generator, torch::TensorOptions()) * 0.1;
  sample->length = objective_.length(*sample);
  return sample;
}

std::unique_ptr<Batch> LmStage::collate(std::span<const Sample* const> samples, const Draw&) const {
  std::vector<const SpeechSample*> rows;
  for (const Sample* sample : samples) rows.push_back(&speech(*sample));
  return std::make_unique<SpeechBatch>(objective_.collate(rows));
}

std::vector<LossTerm> LmStage::loss(const Batch& batch, const LossRequest& request) {
  return objective_.loss(model_->talker, speech(batch), request.accuracy);
}

LanguageStage::Sequence LmStage::sequence(const Batch& batch) {
  const SpeechBatch& b = speech(batch);
  return {objective_.embed(model_->talker, b), b.label_position, b.label};
}

torch::Tensor LmStage::forward(const torch::Tensor& inputs) {
  return model_->talker->model->forward(inputs);
}

LanguageStage::Forward LmStage::decoder(int64_t capacity, const torch::Tensor& like) {
  return [this, cache = model_->talker->model->make_cache(1, capacity, like.options())](
             const torch::Tensor& inputs) mutable {
    return model_->talker->model->forward(inputs, {}, {}, &cache);
  };
}

torch::Tensor LmStage::logits(const torch::Tensor& states) {
  return model_->talker->codec_head(model_->talker->model->norm(states));
}

std::optional<Probe> LmStage::depth_probe(const Sample& sample) {
  const torch::NoGradGuard no_grad;
  const Sample* row = &sample;
  const auto batch = make_batch(std::span(&row, 1), {});
  return objective_.depth_probe(model_->talker, speech(*batch));
}

torch::Tensor LmStage::target_codes(const Sample& sample) const {
  return speech(sample).codes.to(torch::kInt64);
}

void LmStage::save_beside_adapter(const std::filesystem::path& folder) {
  const auto rows = speaker_rows(speakers(), config_, /*keep_existing=*/true);
  write_text_atomic(folder / "config.json",
                    custom_voice_config(config_, rows, /*keep_existing=*/true).dump(2) + "\n");
  save_adapter_speakers(folder, speakers());
}

void LmStage::save_full(const std::filesystem::path& folder,
                        const std::map<std::string, torch::Tensor>& weights) {
  const auto changed = full_weights(*model_, weights);
  const auto rows = speaker_rows(speakers(), config_, /*keep_existing=*/false);
  write_custom_voice(folder_, config_, folder, changed, speakers(), rows, /*keep_existing=*/false,
                     options_.keep_speaker_encoder);
}

}  // namespace ttsft::qwen3_tts
