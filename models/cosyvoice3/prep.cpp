#include "models/cosyvoice3/prep.h"

#include <cmath>
#include <sstream>

#include "models/cosyvoice3/upstream_files.h"
#include "ttsft/core/error.h"
#include "ttsft/core/hash.h"
#include "ttsft/core/log.h"
#include "ttsft/core/strings.h"

namespace ttsft::cosyvoice3 {
namespace {

constexpr const char* kFormat =
    "cosyvoice3 row 1";               // changes when the same input gives another row
constexpr double kSecondsOnCpu = 60;  // of a batch

}  // namespace

std::string filtered(const FilterConfig& filter, double seconds, int64_t text_tokens) {
  const auto number = [](double value) {
    std::ostringstream text;
    text << value << " s";
    return text.str();
  };
  if (seconds < filter.min_seconds || seconds > filter.max_seconds)
    return number(seconds) + " long, upstream's filter allows " + number(filter.min_seconds) +
           " to " + number(filter.max_seconds);
  const std::string tokens = std::to_string(text_tokens) + " tokens of text";
  if (text_tokens < filter.min_text_tokens) return "the text has no token";
  if (text_tokens > filter.max_text_tokens)
    return tokens + ", upstream's filter allows " + std::to_string(filter.max_text_tokens) +
           ": cut the clip at a sentence end";
  const double ratio = static_cast<double>(text_tokens) / (100 * seconds);
  if (ratio < filter.min_ratio || ratio > filter.max_ratio)
    return tokens + " in " + number(seconds) + ": is this the text of the clip?";
  return "";
}

SpeechPreparer::SpeechPreparer(const ModelContext& context)
    : RecordingPreparer(context, kSecondsOnCpu),
      options_(static_cast<const Options&>(*run_.model_options)),
      config_(read_config(run_.checkpoint, options_.talker_file())),
      text_(run_.checkpoint) {
  const bool pinned = options_.speaker_pool == "ort118";
  tokenizer_ = load_tokenizer(run_.checkpoint, device_);
  speaker_ = load_speaker_network(run_.checkpoint, device_,
                                  pinned ? SegmentMean::kOfAll : SegmentMean::kOfItsFrames);
  Hasher hasher;
  hasher.add(kFormat).add(options_.speaker_pool).add(run_.data.instruct);
  for (const char* file : {kTokenizerFile, kSpeakerFile})
    hasher.add(hash_file(run_.checkpoint / file));
  fingerprint_ = hasher.hex();
}

AudioLimits SpeechPreparer::limits() const {
  AudioLimits limits;
  limits.sample_rate = kTokenizerRate;
  limits.min_seconds = config_.filter.min_seconds;
  limits.max_seconds = config_.filter.max_seconds;
  return limits;
}

bool SpeechPreparer::needs_audio(const Utterance& utterance) const {
  return !utterance.row.contains("speech_token") || !utterance.row.contains("utt_embedding");
}

void SpeechPreparer::load(PrepItem& item) const {
  if (!needs_audio(*item.utterance)) return;
  item.text_ids = text_.encode(item.utterance->text);
  const double seconds = static_cast<double>(item.audio.samples.size()) / item.audio.sample_rate;
  item.refused = filtered(config_.filter, seconds, std::ssize(item.text_ids));
  if (!item.refused.empty()) return;
  item.wave = resampled(item.audio, kTokenizerRate);
}

void SpeechPreparer::encode_recordings(std::span<PrepItem* const> items) {
  std::vector<torch::Tensor> waves;
  for (const PrepItem* item : items) waves.push_back(wave_of(*item).to(device_));
  const std::vector<torch::Tensor> codes = tokenizer_->encode(waves);
  const std::vector<torch::Tensor> vectors = speaker_->embed(waves);
  for (size_t i = 0; i < items.size(); ++i) {
    EncodedClip clip;
    const torch::Tensor vector = vectors[i].to(torch::kCPU, torch::kFloat64).contiguous();
    clip.codes.assign(codes[i].data_ptr<int64_t>(),
                      codes[i].data_ptr<int64_t>() + codes[i].numel());
    clip.embedding.assign(vector.data_ptr<double>(), vector.data_ptr<double>() + vector.numel());
    fill_row(*items[i], clip);
  }
}

void SpeechPreparer::take_encoded(PrepItem& item) {
  const Utterance& utterance = *item.utterance;
  const EncodedClip clip = read_encoded(utterance.row, config_.lm, utterance.where);
  const double seconds = static_cast<double>(clip.codes.size()) / kCodesPerSecond;
  item.refused = filtered(config_.filter, seconds, std::ssize(text_.encode(utterance.text)));
  if (item.refused.empty()) fill_row(item, clip);
}

void SpeechPreparer::fill_row(PrepItem& item, const EncodedClip& clip) const {
  const Utterance& utterance = *item.utterance;
  item.row = utterance.row;
  item.row["id"] = utterance.id;
  item.row["audio"] =
      utterance.audio_path.empty() ? utterance.audio : utterance.audio_path.string();
  item.row["text"] = utterance.text;
  item.row["instruct"] = TextFrontend::instruction(utterance.instruct);
  if (!utterance.speaker.empty()) item.row["speaker"] = utterance.speaker;
  write_encoded(item.row, clip);
  item.seconds = static_cast<double>(clip.codes.size()) / kCodesPerSecond;
}

nlohmann::ordered_json SpeechPreparer::finish(const KeptSet& set,
                                              const std::filesystem::path& /*folder*/) {
  const std::vector<Utterance>& rows = set.rows;
  int64_t without = 0;
  std::map<std::string, int64_t> marked;  // tokens that a text holds, perhaps by accident
  for (const Utterance& row : rows) {
    without += row.instruct.empty();
    for (const std::string& token : TextFrontend::special_tokens_in(row.text)) ++marked[token];
  }
  if (without > 0)
    log_warning(without, " of ", rows.size(),
                " clips have no instruct: upstream's default line, \"",
                TextFrontend::instruction(""), "\", is used (set data.instruct, or give rows one)");
  if (!marked.empty()) {
    std::vector<std::string> named;
    for (const auto& [token, clips] : marked)
      named.push_back(token + " in " + std::to_string(clips));
    log_warning("texts hold special tokens, which are no words: ", join(named, ", "), " clips");
  }
  return {{"without_instruct", without}};
}

void SpeechPreparer::write_for_upstream(const PreparedSet& set) {
  write_upstream_files(set.folder / "train", set.train, config_.lm);
  if (!set.validation.empty()) write_upstream_files(set.folder / "dev", set.validation, config_.lm);
}

}  // namespace ttsft::cosyvoice3
