#include "models/qwen3_tts/prep.h"

#include <algorithm>
#include <set>

#include "models/qwen3_tts/options.h"
#include "models/qwen3_tts/stage.h"
#include "ttsft/core/error.h"
#include "ttsft/core/hash.h"
#include "ttsft/nn/weights.h"

namespace ttsft::qwen3_tts {
namespace {

// Changes when the same input would give another row.
constexpr const char* kFormat = "qwen3-tts row 1";

// Activations of the first convolutions are what counts: about 64 channels x 4 bytes per sample.
constexpr double kSecondsOnCpu = 30;

constexpr const char* kReferenceRemedy =
    "name a recording of the speaker in data.reference, or give rows ref_audio";

// Every speaker needs a vector: of a recording, by the speaker encoder, or without one the vector
// of a speaker whom the checkpoint names.
void require_voice(const Utterance& utterance, const Config& config) {
  if (config.has_speaker_encoder()) {
    if (utterance.reference_path.empty())
      throw DataError("no voice reference", utterance.where, kReferenceRemedy);
    return;
  }
  const std::string name = speaker_key(utterance.speaker);
  if (config.talker.spk_id.contains(name)) return;
  throw DataError("this checkpoint has no speaker encoder and names no speaker '" + name + "'",
                  utterance.where,
                  "set data.speaker to a speaker it names, or prepare and train with a Base "
                  "checkpoint (Qwen3-TTS-12Hz-1.7B-Base or -0.6B-Base)");
}

Speakers named_speakers(const std::vector<Utterance>& rows, const Config& config,
                        const std::filesystem::path& checkpoint) {
  const SafetensorsReader file = SafetensorsReader::open(checkpoint);
  const torch::Tensor table = borrow_tensor(file.at("talker.model.codec_embedding.weight"));
  Speakers speakers;
  for (const Utterance& row : rows) {
    const std::string name = speaker_key(row.speaker);
    if (speakers.contains(name)) continue;
    speakers[name] = table[config.talker.spk_id.at(name)].to(torch::kFloat32).clone();
  }
  return speakers;
}

}  // namespace

SpeechPreparer::SpeechPreparer(const ModelContext& context)
    : RecordingPreparer(context, kSecondsOnCpu),
      config_(read_config(run_.checkpoint)),
      text_(run_.checkpoint, config_,
            static_cast<const Options&>(*run_.model_options).split_pattern) {
  const std::filesystem::path codec = run_.checkpoint / "speech_tokenizer";
  const auto file = std::make_shared<SafetensorsReader>(SafetensorsReader::open(codec));
  encoder_ = load_codec_encoder(file, config_.codec, device_);
  fingerprint_ = Hasher().add(kFormat).add(hash_file(file->path())).hex();
}

bool SpeechPreparer::needs_reference(const Utterance& /*utterance*/) const {
  return config_.has_speaker_encoder();
}

AudioLimits SpeechPreparer::limits() const {
  AudioLimits limits;
  limits.sample_rate = static_cast<int>(config_.codec.input_sample_rate);
  return limits;
}

void SpeechPreparer::load(PrepItem& item) const {
  // Refuses what train could not use before the encoder spends time on it.
  text_.speech(item.utterance->text);
  require_voice(*item.utterance, config_);
  if (item.audio.samples.empty()) return;
  item.wave = at_rate(std::move(item.audio), static_cast<int>(config_.codec.input_sample_rate));
}

void SpeechPreparer::take_encoded(PrepItem& item) {
  fill_row(item, read_codes(item.utterance->row, config_, item.utterance->where));
}

void SpeechPreparer::encode_recordings(std::span<PrepItem* const> items) {
  std::vector<int64_t> samples;
  for (const PrepItem* item : items) samples.push_back(length(*item));
  torch::Tensor waves = torch::zeros(
      {static_cast<int64_t>(items.size()), *std::max_element(samples.begin(), samples.end())});
  for (size_t i = 0; i < items.size(); ++i)
    std::copy(items[i]->wave.begin(), items[i]->wave.end(),
              waves[static_cast<int64_t>(i)].data_ptr<float>());
  const std::vector<torch::Tensor> codes = encoder_->encode(waves.to(device_), samples);
  for (size_t i = 0; i < items.size(); ++i) fill_row(*items[i], codes[i].to(torch::kCPU));
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

Speakers SpeechPreparer::read_speakers(const std::vector<Utterance>& rows,
                                       nlohmann::ordered_json& described) const {
  std::map<std::string, std::set<std::filesystem::path>> references;
  for (const Utterance& row : rows) references[speaker_key(row.speaker)].insert(row.reference_path);
  SpeakerReader reader(run_.checkpoint, config_, device_);
  Speakers speakers;
  for (const auto& [name, files] : references) {
    torch::Tensor sum;
    for (const auto& file : files) {
      const torch::Tensor vector = reader.read(file);
      sum = sum.defined() ? sum + vector : vector;
    }
    speakers[name] = sum / static_cast<double>(files.size());
    described[name] = {{"references", files.size()}};
  }
  return speakers;
}

nlohmann::ordered_json SpeechPreparer::finish(const KeptSet& set,
                                              const std::filesystem::path& folder) {
  const std::vector<Utterance>& rows = set.rows;
  for (const Utterance& row : rows) require_voice(row, config_);
  nlohmann::ordered_json described = nlohmann::ordered_json::object();
  const Speakers speakers = config_.has_speaker_encoder()
                                ? read_speakers(rows, described)
                                : named_speakers(rows, config_, run_.checkpoint);
  speaker_rows(speakers, config_,
               /*keep_existing=*/false);  // refuses more speakers than the table has rows
  save_speakers(folder / "speakers.safetensors", speakers);
  return {{"speakers", described}};
}

}  // namespace ttsft::qwen3_tts
