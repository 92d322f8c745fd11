#include "models/fish_s2_pro/prep.h"

#include "models/fish_s2_pro/codes.h"
#include "models/fish_s2_pro/packed_set.h"
#include "ttsft/audio/sinc_resample.h"
#include "ttsft/core/error.h"
#include "ttsft/core/hash.h"
#include "ttsft/core/log.h"

namespace ttsft::fish_s2_pro {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFormat = "fish-s2-pro row 1";  // changes when the same input gives another
constexpr double kSecondsOnCpu = 60;                  // of a batch
// Upstream's trainer cuts what is longer than its max_length of 4096 columns.
constexpr double kMostSeconds = 180;

}  // namespace

SpeechPreparer::SpeechPreparer(const ModelContext& context)
    : RecordingPreparer(context, kSecondsOnCpu),
      options_(static_cast<const Options&>(*run_.model_options)),
      config_(read_config(run_.checkpoint)),
      tokenizer_(run_.checkpoint),
      codec_(load_codec(run_.checkpoint, device_)) {
  fingerprint_ = Hasher()
                     .add(kFormat)
                     .add(hash_file(run_.checkpoint / kCodecFile))
                     .add(hash_file(run_.checkpoint / kTokenizerFile))
                     .hex();
}

AudioLimits SpeechPreparer::limits() const {
  AudioLimits limits;
  limits.sample_rate = kCodecRate;
  limits.max_seconds = kMostSeconds;
  return limits;
}

bool SpeechPreparer::needs_audio(const Utterance& utterance) const {
  return !utterance.row.contains("npy") && !utterance.row.contains("codes");
}

std::string SpeechPreparer::content_hash(const Utterance& utterance) const {
  return utterance.row.contains("npy") ? hash_file(utterance.row["npy"].get<std::string>()) : "";
}

bool SpeechPreparer::intact(const nlohmann::ordered_json& row) const {
  return row.contains("npy") && row["npy"].is_string() && opens([&] {
           read_codes(run_.data.prepared / row["npy"].get<std::string>(), config_, "");
         });
}

void SpeechPreparer::load(PrepItem& item) const {
  if (training_text(item.utterance->text, options_.layout_kind()).empty()) {
    item.refused = "no words are left of the text: what stands in <..> and {..} is not spoken";
    return;
  }
  if (!needs_audio(*item.utterance)) return;
  item.wave = resample_sinc(item.audio.samples, item.audio.sample_rate, kCodecRate,
                            KernelPrecision::kFloat);
}

void SpeechPreparer::encode_recordings(std::span<PrepItem* const> items) {
  std::vector<torch::Tensor> waves;
  for (const PrepItem* item : items) waves.push_back(wave_of(*item).to(device_));
  const std::vector<torch::Tensor> codes = codec_->encode(waves);
  for (size_t i = 0; i < items.size(); ++i) fill_row(*items[i], codes[i]);
}

void SpeechPreparer::take_encoded(PrepItem& item) {
  const auto& row = item.utterance->row;
  const std::string& where = item.utterance->where;
  fill_row(item, row.contains("npy") ? read_codes(row["npy"].get<std::string>(), config_, where)
                                     : codes_of_levels(row["codes"], config_, where));
}

void SpeechPreparer::fill_row(PrepItem& item, const torch::Tensor& codes) {
  const Utterance& utterance = *item.utterance;
  const TrainingColumns made =
      training_columns(tokenizer_, with_speaker_tag(training_text(utterance.text, Layout::kChat)),
                       codes, Layout::kChat);
  if (made.columns.size() > config_.max_seq_len) {
    item.refused = std::to_string(made.columns.size()) + " columns, the model has places for " +
                   std::to_string(config_.max_seq_len) + ": cut the recording";
    return;
  }
  const int64_t beyond = codes_beyond(codes, codec_->options().codebooks.back());
  beyond_ += beyond;
  clips_beyond_ += beyond > 0;
  item.save = [file = run_.data.prepared / codes_file(utterance.id), codes] {
    write_codes(file, codes);
  };
  item.seconds = static_cast<double>(codes.size(0) * codec_->options().hop()) / kCodecRate;
  item.row = utterance.row;
  item.row.erase("codes");
  item.row["id"] = utterance.id;
  item.row["audio"] =
      utterance.audio_path.empty() ? utterance.audio : utterance.audio_path.string();
  item.row["text"] = utterance.text;
  if (!utterance.speaker.empty()) item.row["speaker"] = utterance.speaker;
  item.row["group"] = group_of(utterance);
  item.row["npy"] = codes_file(utterance.id).string();
  item.row["frames"] = codes.size(0);
}

nlohmann::ordered_json SpeechPreparer::finish(const KeptSet& set, const fs::path& /*folder*/) {
  const std::vector<Utterance>& rows = set.rows;
  int64_t marked = 0;
  for (const Utterance& row : rows) {
    marked += has_markup(row.text);
  }
  if (marked > 0)
    log_warning(marked, " of ", rows.size(),
                " texts hold something in <..> or {..}, which is left out, as upstream's packing "
                "does; speaker and phoneme tags stay");
  if (beyond_ > 0)
    log_warning(beyond_, " codes in ", clips_beyond_,
                " clips lie behind the end of their codebook "
                "of ",
                codec_->options().codebooks.back(), ": the codec takes its last entry for them");
  return {{"texts_with_markup", marked}};
}

void SpeechPreparer::write_for_upstream(const PreparedSet& set) {
  write_packed(set.folder / "train", set.train, set.folder, config_);
  if (!set.validation.empty())
    write_packed(set.folder / "validation", set.validation, set.folder, config_);
}

}  // namespace ttsft::fish_s2_pro
