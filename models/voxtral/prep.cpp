#include "models/voxtral/prep.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "models/voxtral/codes.h"
#include "models/voxtral/modules.h"
#include "models/voxtral/silence.h"
#include "ttsft/core/error.h"
#include "ttsft/core/hash.h"
#include "ttsft/core/log.h"
#include "ttsft/io/npy.h"
#include "ttsft/nn/weights.h"

namespace ttsft::voxtral {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFormat = "voxtral row 1";  // changes when the same input gives another
constexpr double kSecondsOnCpu = 60;              // of a batch
constexpr double kMostSeconds = 180;              // what the model was trained with
constexpr std::string_view kPreset = "voice:";

std::string text_of(const nlohmann::ordered_json& row, const char* key) {
  const auto found = row.find(key);
  return found != row.end() && found->is_string() ? found->get<std::string>() : "";
}

bool brings_codes(const Utterance& utterance) {
  const auto found = utterance.row.find("codes");
  return found != utterance.row.end() && !found->is_null();
}

}  // namespace

SpeechPreparer::SpeechPreparer(const ModelContext& context)
    : RecordingPreparer(context, kSecondsOnCpu),
      options_(static_cast<const Options&>(*run_.model_options)),
      config_(read_config(run_.checkpoint)),
      tokenizer_(run_.checkpoint),
      codec_(load_codec(run_.checkpoint, config_.codec, device_, options_.encoder)),
      encoding_(choose_encoding(options_, codec_.encodes(), run_.train.stage)),
      used_(static_cast<size_t>(config_.codec.semantic_codes)) {
  Hasher hasher;
  hasher.add(kFormat)
      .add(std::to_string(static_cast<int>(encoding_)))
      .add(hash_file(run_.checkpoint / kParamsFile))
      .add(hash_file(run_.checkpoint / kTokenizerFile))
      .add(std::to_string(options_.silence_weight));
  // The parts of the codec that make codes, wherever they lie: of the release's 8 GB, 2 %.
  const auto add = [&](torch::nn::Module& part) {
    for (const auto& item : part.named_parameters()) {
      const torch::Tensor value = item.value().to(torch::kCPU).contiguous();
      hasher.add(std::string_view(static_cast<const char*>(value.data_ptr()), value.nbytes()));
    }
  };
  if (encoding_ == Encoding::kEncoder || encoding_ == Encoding::kInvert) {
    add(*codec_.quantizer);
    if (codec_.encodes()) add(*codec_.encoder);
  }
  if (encoding_ == Encoding::kInvert) {
    add(*codec_.decoder);
    hasher.add(std::to_string(options_.invert_steps));
  }
  fingerprint_ = hasher.hex();
}

AudioLimits SpeechPreparer::limits() const {
  AudioLimits limits;
  limits.sample_rate = static_cast<int>(config_.codec.sample_rate);
  limits.max_seconds = kMostSeconds;
  return limits;
}

bool SpeechPreparer::needs_audio(const Utterance& utterance) const {
  return !brings_codes(utterance);
}

// Codes may lie in a shard, and a voice in a recording: both are a part of the row.
std::string SpeechPreparer::content_hash(const Utterance& utterance) const {
  Hasher hasher;
  if (brings_codes(utterance) && utterance.row["codes"].is_string()) {
    const std::string codes = utterance.row["codes"].get<std::string>();
    const fs::path file = codes.substr(0, codes.rfind('#'));
    for (const fs::path& place : {file, utterance.folder / file})
      if (fs::is_regular_file(place)) hasher.add(hash_file(place));
  }
  if (wants_reference(utterance)) hasher.add(hash_file(utterance.reference_path));
  return hasher.hex();
}

bool SpeechPreparer::intact(const nlohmann::ordered_json& row) const {
  const std::string reference = text_of(row, "ref_codes");
  return reference.empty() ||
         opens([&] { read_codes_file(run_.data.prepared / reference, config_); });
}

void SpeechPreparer::load(PrepItem& item) const {
  if (item.utterance->text.empty() && encoding_ != Encoding::kNone) {
    item.refused = "there is no text";
    return;
  }
  if (needs_audio(*item.utterance))
    item.wave = at_rate(item.audio, static_cast<int>(config_.codec.sample_rate));
}

void SpeechPreparer::encode_recordings(std::span<PrepItem* const> items) {
  const double rate = static_cast<double>(config_.codec.sample_rate);
  if (encoding_ == Encoding::kNone) {
    for (PrepItem* item : items) {
      fill_row(*item, {}, std::ssize(item->wave), nullptr);
      item->seconds = static_cast<double>(item->wave.size()) / rate;
    }
    return;
  }
  std::vector<torch::Tensor> waves;
  for (const PrepItem* item : items) waves.push_back(wave_of(*item).to(device_));
  const std::vector<EncodedClip> clips = encode_waves(codec_, waves, encoding_, options_);
  const bool inverted = encoding_ == Encoding::kInvert;
  for (size_t i = 0; i < items.size(); ++i) {
    PrepItem& item = *items[i];
    if (inverted && clips[i].error > options_.invert_limit) {
      item.refused = "no codes sound like it: spectral error " + std::to_string(clips[i].error) +
                     ", voxtral.invert_limit is " + std::to_string(options_.invert_limit);
      continue;
    }
    fill_row(item, clips[i].codes, std::ssize(item.wave), inverted ? "inversion" : "encoder");
    item.seconds = static_cast<double>(item.wave.size()) / rate;
    if (inverted) item.row["spectral_error"] = clips[i].error;
    worst_error_ = std::max(worst_error_, clips[i].error);
    if (options_.silence_weight < 1)
      item.row["weight"] = silence_weights(item.wave, config_.codec.hop(), options_.silence_weight);
  }
}

void SpeechPreparer::take_encoded(PrepItem& item) {
  const Utterance& utterance = *item.utterance;
  const auto& given = utterance.row["codes"];
  torch::Tensor codes;
  if (given.is_string() && given.get<std::string>().starts_with(kPreset)) {
    // A preset as a clip: its rows are what a true encoder made.
    const std::string name = given.get<std::string>().substr(kPreset.size());
    if (!recover_) recover_.emplace(code_recovery(run_.checkpoint, config_));
    const RecoveredCodes found = (*recover_)(read_voice(run_.checkpoint, config_, name));
    if (!found.exact) {
      item.refused = "the codes behind the voice " + name +
                     " cannot be told: what is left of its rows is " +
                     std::to_string(found.residual.max().item<double>()) + " of their length";
      return;
    }
    codes = found.codes;
  } else {
    codes = codes_of_row(given, config_, utterance.folder, utterance.where);
  }
  const int64_t whole = codes.size(0) * config_.codec.hop();
  int64_t samples = whole;
  if (const auto said = utterance.row.find("n_samples");
      said != utterance.row.end() && said->is_number_integer())
    samples = said->get<int64_t>();
  if (samples > whole || samples <= whole - config_.codec.hop())
    throw DataError(std::to_string(samples) + " samples are not " + std::to_string(codes.size(0)) +
                        " frames of " + std::to_string(config_.codec.hop()),
                    utterance.where, "codes must be made of 24 kHz, 12.5 frames a second");
  fill_row(item, codes, samples, nullptr);
  item.seconds = static_cast<double>(samples) / static_cast<double>(config_.codec.sample_rate);
}

bool SpeechPreparer::wants_reference(const Utterance& utterance) const {
  return text_of(utterance.row, "ref").empty() && !utterance.reference_path.empty() &&
         encoding_ != Encoding::kNone;
}

std::string SpeechPreparer::encoded_reference(const Utterance& utterance) {
  if (!wants_reference(utterance)) return "";
  std::string& name = references_[utterance.reference_path];
  if (!name.empty()) return name;
  const torch::Tensor codes =
      voice_codes(utterance.reference_path, codec_, config_, encoding_, options_).contiguous();
  name = "references/" + hash_file(utterance.reference_path).substr(0, 16) + ".npy";
  fs::create_directories(run_.data.prepared / "references");
  write_npy(run_.data.prepared / name, view_tensor("", codes), Durability::kRename);
  return name;
}

void SpeechPreparer::count_codes(const torch::Tensor& codes) {
  frames_ += codes.size(0);
  const torch::Tensor acoustic = codes.narrow(1, 1, config_.codec.acoustic_dim);
  saturated_ += (acoustic.eq(0) | acoustic.eq(config_.codec.levels - 1)).sum().item<int64_t>();
  const torch::Tensor semantic = codes.select(1, 0).contiguous();
  for (int64_t f = 0; f < semantic.size(0); ++f)
    used_[static_cast<size_t>(semantic.data_ptr<int64_t>()[f])] = true;
}

void SpeechPreparer::fill_row(PrepItem& item, const torch::Tensor& codes, int64_t samples,
                              const char* source) {
  const Utterance& utterance = *item.utterance;
  const std::vector<int64_t> ids = tokenizer_.encode(utterance.text);
  const std::string reference = encoded_reference(utterance);
  item.row = utterance.row;
  item.row["id"] = utterance.id;
  item.row["text"] = utterance.text;
  item.row["text_ids"] = ids;
  item.row["audio"] =
      utterance.audio_path.empty() ? utterance.audio : utterance.audio_path.string();
  item.row["n_samples"] = samples;
  item.row["n_frames"] = config_.codec.frames(samples);
  item.row["speaker"] = utterance.speaker;
  item.row.erase("ref_audio");
  if (!reference.empty()) item.row["ref_codes"] = reference;
  if (source) item.row["source"] = source;
  if (!codes.defined()) return;
  item.row["codes"] = codes_json(codes);
  count_codes(codes);
}

nlohmann::ordered_json SpeechPreparer::finish(const KeptSet& set, const fs::path& /*folder*/) {
  const std::vector<Utterance>& rows = set.rows;
  std::set<std::string> ids, voices;
  for (const Utterance& row : rows) ids.insert(row.id);
  for (const Utterance& row : rows) {
    const std::string ref = text_of(row.row, "ref");
    if (ref.empty()) continue;
    if (ref.starts_with(kPreset)) {
      const std::string name = ref.substr(kPreset.size());
      if (voices.insert(name).second) read_voice(run_.checkpoint, config_, name);
    } else if (!ids.contains(ref)) {
      throw DataError("its `ref` is clip '" + ref + "', which is not in the set", row.where,
                      "name another, or prepare that clip too");
    }
  }
  nlohmann::ordered_json said;
  if (frames_ == 0) return said;
  const auto usage = std::count(used_.begin(), used_.end(), true);
  const double ends =
      static_cast<double>(saturated_) / static_cast<double>(frames_ * config_.codec.acoustic_dim);
  log_info(frames_, " frames, ", usage, " different semantic codes, ", std::lround(100 * ends),
           " % of the acoustic ones at an end of their range");
  said = {{"frames", frames_}, {"semantic_codes_used", usage}, {"share_at_the_ends", ends}};
  if (encoding_ == Encoding::kInvert) {
    said["worst_spectral_error"] = worst_error_;
    log_warning(
        "the codes were found by inversion: they sound like the recordings, but the semantic ones "
        "are not what Mistral's encoder would have said. Listen before a long training");
  }
  return said;
}

}  // namespace ttsft::voxtral
