#include "models/qwen3_tts/speakers.h"

#include <set>

#include "ttsft/audio/audio.h"
#include "ttsft/core/error.h"
#include "ttsft/core/strings.h"
#include "ttsft/io/atomic_file.h"
#include "ttsft/nn/weights.h"

namespace ttsft::qwen3_tts {
namespace {

constexpr int64_t kFirstSpeakerRow = 3000;  // upstream's choice
constexpr const char* kPreparedPrefix = "speaker.";
constexpr const char* kTargetName = "target_speaker_embedding";
constexpr const char* kEmbeddingFile = "speaker_embedding.safetensors";

}  // namespace

std::string speaker_key(const std::string& name) {
  return name.empty() ? "speaker" : to_lower_ascii(name);
}

SpeakerReader::SpeakerReader(const std::filesystem::path& checkpoint, const Config& config,
                             torch::Device device)
    : config_(config), device_(device), mel_(speaker_mel_options(config.speaker_encoder), device) {
  const auto file = std::make_shared<SafetensorsReader>(SafetensorsReader::open(checkpoint));
  encoder_ = load_speaker_encoder(file, config, device);
}

torch::Tensor SpeakerReader::read(const std::filesystem::path& path) {
  c10::InferenceMode inference;
  std::vector<float> wave =
      at_rate(decode_audio(path).audio, static_cast<int>(config_.speaker_encoder.sample_rate));
  const int64_t least = encoder_->min_frames() * mel_.options().stft.hop;
  if (static_cast<int64_t>(wave.size()) < std::max<int64_t>(least, mel_.options().stft.fft))
    throw DataError("the voice reference is too short", path.string(),
                    "use some seconds of clean speech");
  const torch::Tensor samples =
      torch::from_blob(wave.data(), {1, static_cast<int64_t>(wave.size())}).to(device_);
  return encoder_->forward(mel_(samples)).squeeze(0).to(torch::kCPU).clone();
}

void save_speakers(const std::filesystem::path& file, const Speakers& speakers) {
  std::vector<std::pair<std::string, torch::Tensor>> tensors;
  for (const auto& [name, vector] : speakers) tensors.emplace_back(kPreparedPrefix + name, vector);
  save_tensors(file, tensors);
}

Speakers load_speakers(const std::filesystem::path& file) {
  Speakers speakers;
  const SafetensorsReader reader = SafetensorsReader::open(file);
  for (const TensorView& view : reader.tensors()) {
    if (!view.name.starts_with(kPreparedPrefix)) continue;
    speakers[view.name.substr(std::string(kPreparedPrefix).size())] =
        copy_tensor(view).to(torch::kFloat32);
  }
  if (speakers.empty())
    throw DataError("holds no speaker vector", file.string(), "run ttsft prep again");
  return speakers;
}

std::map<std::string, int64_t> speaker_rows(const Speakers& speakers, const Config& config,
                                            bool keep_existing) {
  std::set<int64_t> used;
  std::map<std::string, int64_t> rows;
  for (const auto& [name, row] : config.talker.spk_id) {
    if (!keep_existing) continue;
    used.insert(row);
    if (speakers.count(name)) rows[name] = row;  // trained further: its row is kept
  }
  int64_t next = kFirstSpeakerRow;
  for (const auto& [name, vector] : speakers) {
    if (rows.count(name)) continue;
    while (used.count(next)) ++next;
    if (next >= config.talker.vocab_size)
      throw DataError("no row of codec_embedding is left for speaker '" + name + "'",
                      "vocab_size " + std::to_string(config.talker.vocab_size),
                      "train fewer speakers in one run");
    used.insert(next);
    rows[name] = next;
  }
  return rows;
}

nlohmann::ordered_json custom_voice_config(const Config& config,
                                           const std::map<std::string, int64_t>& rows,
                                           bool keep_existing) {
  nlohmann::ordered_json json = config.raw;
  json["tts_model_type"] = "custom_voice";
  auto& talker = json["talker_config"];
  for (const char* key : {"spk_id", "spk_is_dialect"})
    if (!keep_existing || !talker.contains(key) || !talker[key].is_object())
      talker[key] = nlohmann::ordered_json::object();
  for (const auto& [name, row] : rows) {
    talker["spk_id"][name] = row;
    talker["spk_is_dialect"][name] = false;
  }
  return json;
}

void save_adapter_speakers(const std::filesystem::path& folder, const Speakers& speakers) {
  std::vector<std::pair<std::string, torch::Tensor>> tensors;
  for (const auto& [name, vector] : speakers)
    tensors.emplace_back(speakers.size() == 1 ? kTargetName : std::string(kTargetName) + "." + name,
                         vector);
  save_tensors(folder / kEmbeddingFile, tensors);
}

AdapterVoices load_adapter_voices(const std::filesystem::path& folder) {
  AdapterVoices voices;
  if (!std::filesystem::exists(folder / kEmbeddingFile)) return voices;
  const auto where = (folder / "config.json").string();
  const auto json =
      nlohmann::json::parse(read_text(folder / "config.json"), nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded() || !json.contains("talker_config") ||
      !json["talker_config"]["spk_id"].is_object())
    throw DataError("names no speaker for speaker_embedding.safetensors", where,
                    "talker_config.spk_id must map its name to a row");
  const auto& ids = json["talker_config"]["spk_id"];
  const SafetensorsReader reader = SafetensorsReader::open(folder / kEmbeddingFile);
  for (const TensorView& view : reader.tensors()) {
    std::string name;
    if (view.name == kTargetName) {
      // One speaker: the row is 3000 unless only one name is there at all.
      for (const auto& [key, row] : ids.items())
        if (row == kFirstSpeakerRow || ids.size() == 1) name = key;
    } else if (view.name.starts_with(std::string(kTargetName) + ".")) {
      name = view.name.substr(std::string(kTargetName).size() + 1);
    }
    if (name.empty() || !ids.contains(name))
      throw DataError("no speaker in spk_id belongs to tensor " + view.name, where);
    voices.speakers[name] = copy_tensor(view).to(torch::kFloat32).reshape({-1});
    voices.rows[name] = ids[name].get<int64_t>();
  }
  return voices;
}

}  // namespace ttsft::qwen3_tts
