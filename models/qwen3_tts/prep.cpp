#include "models/qwen3_tts/prep.h"

#include <algorithm>
#include <set>

#include "models/qwen3_tts/options.h"
#include "models/qwen3_tts/stage.h"
#include "ttsft/core/error.h"
#include "ttsft/core/hash.h"

namespace ttsft::qwen3_tts {
namespace {

// Changes when the same input would give another row.
constexpr const char* kFormat = "qwen3-tts row 1";

constexpr const char* kReferenceRemedy =
    "set data.reference to some seconds of the speaker, or give rows ref_audio";

}  // namespace

SpeechPreparer::SpeechPreparer(const ModelContext& context)
    : run_(context.config),
      config_(read_config(run_.checkpoint)),
      text_(run_.checkpoint, config_,
            static_cast<const Options&>(*run_.model_options).split_pattern),
      device_(context.device) {
  if (!config_.has_speaker_encoder())
    throw DataError(
        "this checkpoint has no speaker encoder, so it cannot be the base of a fine-tuning",
        run_.checkpoint.string(),
        "prepare and train with a Base checkpoint (Qwen3-TTS-12Hz-1.7B-Base or -0.6B-Base)");
  const std::filesystem::path codec = run_.checkpoint / "speech_tokenizer";
  const auto file = std::make_shared<SafetensorsReader>(SafetensorsReader::open(codec));
  encoder_ = load_codec_encoder(file, config_.codec, device_);
  fingerprint_ = Hasher().add(kFormat).add(hash_file(file->path())).hex();
}

AudioLimits SpeechPreparer::limits() const {
  AudioLimits limits;
  limits.sample_rate = static_cast<int>(config_.codec.input_sample_rate);
  return limits;
}

int64_t SpeechPreparer::batch_budget() const {
  // Activations of the first convolutions are what counts: about 64 channels x 4 bytes per sample.
  const int64_t seconds = device_.is_cuda() ? 600 : 30;
  return seconds * config_.codec.input_sample_rate;
}

void SpeechPreparer::load(PrepItem& item) const {
  // Refuses what train could not use before the encoder spends time on it.
  text_.speech(item.utterance->text);
  if (item.utterance->reference_path.empty()) {
    throw DataError("no voice reference", item.utterance->where, kReferenceRemedy);
  }
  if (item.audio.samples.empty()) return;
  item.wave = at_rate(std::move(item.audio), static_cast<int>(config_.codec.input_sample_rate));
}

void SpeechPreparer::encode(std::span<PrepItem*> batch) {
  c10::InferenceMode inference;
  std::vector<PrepItem*> audible;
  std::vector<int64_t> samples;
  for (PrepItem* item : batch) {
    if (needs_audio(*item->utterance)) {
      audible.push_back(item);
      samples.push_back(length(*item));
    } else {
      fill_row(*item, read_codes(item->utterance->row, config_, item->utterance->where));
    }
  }
  if (audible.empty()) return;
  torch::Tensor waves = torch::zeros(
      {static_cast<int64_t>(audible.size()), *std::max_element(samples.begin(), samples.end())});
  for (size_t i = 0; i < audible.size(); ++i)
    std::copy(audible[i]->wave.begin(), audible[i]->wave.end(),
              waves[static_cast<int64_t>(i)].data_ptr<float>());
  const std::vector<torch::Tensor> codes = encoder_->encode(waves.to(device_), samples);
  for (size_t i = 0; i < audible.size(); ++i) fill_row(*audible[i], codes[i].to(torch::kCPU));
}

void SpeechPreparer::fill_row(PrepItem& item, const torch::Tensor& codes) const {
  const Utterance& utterance = *item.utterance;
  item.row = utterance.row;
  // Upstream's trainer reads ref_audio; what it does not know (speaker) it ignores.
  if (!item.row.contains("ref_audio") && !utterance.reference.empty())
    item.row["ref_audio"] = utterance.reference;
  if (!utterance.speaker.empty() && utterance.speaker != run_.data.speaker)
    item.row["speaker"] = utterance.speaker;
  item.seconds = static_cast<double>(codes.size(0) * config_.codec.encode_downsample_rate) /
                 config_.codec.input_sample_rate;
  if (!needs_audio(utterance)) return;
  nlohmann::ordered_json frames = nlohmann::ordered_json::array();
  const auto values = codes.accessor<int64_t, 2>();
  for (int64_t f = 0; f < codes.size(0); ++f) {
    nlohmann::ordered_json frame = nlohmann::ordered_json::array();
    for (int64_t k = 0; k < codes.size(1); ++k) frame.push_back(values[f][k]);
    frames.push_back(std::move(frame));
  }
  item.row["audio_codes"] = std::move(frames);
}

nlohmann::ordered_json SpeechPreparer::finish(const std::vector<Utterance>& rows,
                                              const std::filesystem::path& folder) {
  std::map<std::string, std::set<std::filesystem::path>> references;
  for (const Utterance& row : rows) {
    if (row.reference_path.empty())
      throw DataError("no voice reference", row.where, kReferenceRemedy);
    references[speaker_key(row.speaker)].insert(row.reference_path);
  }
  SpeakerReader reader(run_.checkpoint, config_, device_);
  Speakers speakers;
  nlohmann::ordered_json described = nlohmann::ordered_json::object();
  for (const auto& [name, files] : references) {
    torch::Tensor sum;
    for (const auto& file : files) {
      const torch::Tensor vector = reader.read(file);
      sum = sum.defined() ? sum + vector : vector;
    }
    speakers[name] = sum / static_cast<double>(files.size());
    described[name] = {{"references", files.size()}};
  }
  speaker_rows(speakers, config_,
               /*keep_existing=*/false);  // refuses more speakers than the table has rows
  save_speakers(folder / "speakers.safetensors", speakers);
  return {{"speakers", described}};
}

}  // namespace ttsft::qwen3_tts
