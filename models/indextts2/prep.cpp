#include "models/indextts2/prep.h"

#include <algorithm>

#include "models/indextts2/manifests.h"
#include "ttsft/audio/sinc_resample.h"
#include "ttsft/core/error.h"
#include "ttsft/core/hash.h"
#include "ttsft/core/log.h"
#include "ttsft/core/strings.h"
#include "ttsft/io/npy.h"
#include "ttsft/io/torch_file.h"
#include "ttsft/model/text_checks.h"
#include "ttsft/text/python_string.h"
#include "ttsft/text/regex.h"

namespace ttsft::indextts2 {
namespace {

namespace fs = std::filesystem;

// Changes when the same input would give another row.
constexpr const char* kFormat = "indextts2 arrays 1";

constexpr int kEncoderRate = 16000;
constexpr double kCodesPerSecond = 50;
constexpr double kSecondsOnCpu = 60;  // of a batch

}  // namespace

// What only recordings need.
struct SpeechPreparer::Encoders {
  SpeechEncoder speech;
  RepCodec codec;
  Conditioner conditioner;
};

std::string clean_text(const std::string& text) {
  static const Regex speaker("(?i)^\\s*(?:speaker|spk)\\s*\\d+\\s*[:：]\\s*");
  std::string clean = replace_all(strip(text), "\u3000", " ");
  clean = replace_all(clean, "\u00a0", " ");
  clean = speaker.replace(clean, [](const Regex::Groups&) { return std::string(); });
  return std::string(strip(clean));
}

SpeechPreparer::SpeechPreparer(const ModelContext& context)
    : RecordingPreparer(context, kSecondsOnCpu),
      options_(static_cast<const Options&>(*run_.model_options)),
      config_(read_config(run_.checkpoint)),
      text_(run_.checkpoint, options_.text()) {
  if (!options_.extend_vocabulary.empty()) {
    // The rows that train will add.
    config_.gpt.text_vocabulary = std::max(config_.gpt.text_vocabulary, text_.size() + 1);
  } else if (text_.size() > config_.gpt.text_vocabulary) {
    throw DataError("the tokenizer has " + std::to_string(text_.size()) +
                        " pieces and the text table " +
                        std::to_string(config_.gpt.text_vocabulary) + " rows",
                    config_.bpe_model.string(), "take both from one release");
  }
  Hasher hasher;
  hasher.add(kFormat).add(hash_file(run_.checkpoint / options_.text().tokenizer));
  hasher.add(options_.normalize ? "normalized" : "as it is").add(options_.grammars.string());
  if (const fs::path glossary = run_.checkpoint / "glossary.yaml";
      options_.glossary && fs::exists(glossary))
    hasher.add(hash_file(glossary));
  // Of gpt.pth the encoders alone: a fine-tuned one has the same.
  const auto gpt = open_gpt(config_.gpt_file);
  for (const TensorView& view : gpt->tensors())
    if (is_encoder_tensor(view.name)) hasher.add(view.name).add(view.bytes);
  hasher.add(hash_file(config_.w2v_stats));
  hasher.add(hash_file(locate(config_, Auxiliary::kW2vBert) / "model.safetensors"));
  hasher.add(hash_file(locate(config_, Auxiliary::kSemanticCodec)));
  fingerprint_ = hasher.hex();
}

SpeechPreparer::~SpeechPreparer() = default;

SpeechPreparer::Encoders& SpeechPreparer::encoders() {
  if (!encoders_) {
    const auto codec = open_tensor_file(locate(config_, Auxiliary::kSemanticCodec));
    encoders_ = std::make_unique<Encoders>(
        Encoders{SpeechEncoder(locate(config_, Auxiliary::kW2vBert), config_.w2v_stats, device_),
                 load_repcodec(codec, config_.semantic_codec, device_),
                 load_conditioner(open_gpt(config_.gpt_file), config_.gpt, device_)});
  }
  return *encoders_;
}

AudioLimits SpeechPreparer::limits() const {
  AudioLimits limits;
  limits.sample_rate = kEncoderRate;
  limits.min_seconds = 0.3;
  limits.max_seconds = static_cast<double>(config_.gpt.max_mel_tokens) / kCodesPerSecond;
  return limits;
}

fs::path SpeechPreparer::source_path(const Utterance& utterance, const std::string& key) const {
  const nlohmann::ordered_json& row = utterance.row;
  if (!row.contains(key) || !row[key].is_string()) return {};
  return (utterance.folder / row[key].get<std::string>()).lexically_normal();
}

std::string SpeechPreparer::content_hash(const Utterance& utterance) const {
  Hasher hasher;
  bool any = false;
  for (const std::string& key : path_keys(row_kind(utterance.row))) {
    const fs::path file = source_path(utterance, key);
    if (file.empty()) continue;
    hasher.add(hash_file(file));
    any = true;
  }
  return any ? hasher.hex() : "";
}

bool SpeechPreparer::intact(const nlohmann::ordered_json& row) const {
  const std::vector<std::string> keys = path_keys(row_kind(row));
  return std::all_of(keys.begin(), keys.end(), [&](const std::string& key) {
    return !row.contains(key) || !row[key].is_string() ||
           opens([&] { NpyFile::open(run_.data.prepared / row[key].get<std::string>()); });
  });
}

// Refuses what train could not use before the encoders spend time on it.
void SpeechPreparer::load(PrepItem& item) const {
  if (!needs_audio(*item.utterance)) return check_encoded(item);
  item.text_ids = text_.encode(clean_text(item.utterance->text));
  const std::vector<int64_t>& ids = item.text_ids;
  const std::string& where = item.utterance->where;
  if (ids.empty()) throw DataError("nothing of the text is spoken", where, "mend the transcript");
  check_transcript(std::ssize(ids), text_.unknown_share(ids),
                   {config_.gpt.max_text_tokens, "<unk>",
                    "extend it (indextts2.extend_vocabulary), or correct the text"},
                   where);
  // Upstream's way by 24 kHz: without it most codes are others.
  const int rate = item.audio.sample_rate, middle = static_cast<int>(config_.sample_rate);
  item.wave =
      resample_sinc(resample_sinc(item.audio.samples, rate, middle, KernelPrecision::kFloat),
                    middle, kEncoderRate, KernelPrecision::kFloat);
}

void SpeechPreparer::check_encoded(PrepItem& item) const {
  const Utterance& utterance = *item.utterance;
  nlohmann::ordered_json row = utterance.row;
  for (const std::string& key : path_keys(row_kind(row)))
    if (const fs::path file = source_path(utterance, key); !file.empty()) row[key] = file.string();
  const ItemFiles files = item_files(row, utterance.where);
  const auto codes = read_codes(files.codes, config_.gpt, files.code_count);
  read_text_ids(files.text_ids, config_.gpt, files.text_count);
  read_condition(files.condition, config_.gpt);
  read_emotion(files.emotion, config_.gpt);
  item.seconds = static_cast<double>(codes.size()) / kCodesPerSecond;
  item.row = std::move(row);
}

// The latents and the emotion vector of each recording.
std::pair<torch::Tensor, torch::Tensor> SpeechPreparer::lend(
    const std::vector<SpeechFeatures>& features) {
  std::vector<torch::Tensor> rows;
  std::vector<int64_t> valid, frames;
  for (const SpeechFeatures& row : features) {
    rows.push_back(row.frames);
    valid.push_back(row.valid);
    frames.push_back(row.frames.size(0));
  }
  const torch::Tensor x = torch::nn::utils::rnn::pad_sequence(rows, /*batch_first=*/true);
  const ConditionLengths lengths{torch::tensor(valid, torch::kInt64).to(device_),
                                 torch::tensor(frames, torch::kInt64).to(device_)};
  Conditioner& conditioner = encoders().conditioner;
  return {conditioner->condition(x, lengths).to(torch::kCPU),
          conditioner->emotion(x, lengths).to(torch::kCPU)};
}

void SpeechPreparer::encode_recordings(std::span<PrepItem* const> items) {
  Encoders& with = encoders();
  std::vector<torch::Tensor> waves, frames;
  for (const PrepItem* item : items) waves.push_back(wave_of(*item));
  const std::vector<SpeechFeatures> features = with.speech.encode(waves);
  for (const SpeechFeatures& row : features) frames.push_back(row.frames);
  const std::vector<SemanticCodes> codes = with.codec->quantize(frames);
  const auto [conditions, emotions] = lend(features);
  for (size_t i = 0; i < items.size(); ++i) {
    const auto row = static_cast<int64_t>(i);
    fill_row(*items[i], codes[i].codes.to(torch::kCPU), conditions[row], emotions[row]);
  }
}

void SpeechPreparer::fill_row(PrepItem& item, const torch::Tensor& codes,
                              const torch::Tensor& condition, const torch::Tensor& emotion) const {
  const Utterance& utterance = *item.utterance;
  const int64_t count = codes.size(0);
  if (count > config_.gpt.max_mel_tokens) {
    item.refused = std::to_string(count) + " codes, the model has places for " +
                   std::to_string(config_.gpt.max_mel_tokens) + ": cut the recording";
    return;
  }
  const ArrayFiles files = array_files(utterance.id);
  item.save = [folder = run_.data.prepared, files, codes, condition, emotion,
               ids = torch::tensor(item.text_ids, torch::kInt64)] {
    write_ids(folder / files.codes, codes);
    write_ids(folder / files.text_ids, ids);
    write_floats(folder / files.condition, condition);
    write_floats(folder / files.emotion, emotion);
  };
  item.seconds = static_cast<double>(count) / kCodesPerSecond;
  item.row = utterance.row;
  if (!utterance.speaker.empty()) item.row["speaker"] = utterance.speaker;
  item.row["text_ids_path"] = files.text_ids.string();
  item.row["text_len"] = item.text_ids.size();
  item.row["codes_path"] = files.codes.string();
  item.row["code_len"] = count;
  item.row["condition_path"] = files.condition.string();
  item.row["condition_len"] = config_.gpt.speaker.latents;
  item.row["emo_vec_path"] = files.emotion.string();
}

nlohmann::ordered_json SpeechPreparer::finish(const KeptSet& set, const fs::path& folder) {
  const std::vector<Utterance>& rows = set.rows;
  SpeakerPrompts speakers;
  std::vector<Utterance> recordings;
  for (const Utterance& row : rows) {
    const RowKind kind = row_kind(row.row);
    if (kind == RowKind::kPair) continue;  // names its prompt
    PromptFiles files{row.id, source_path(row, "condition_path"), source_path(row, "emo_vec_path")};
    if (kind == RowKind::kRecording) {
      const ArrayFiles own = array_files(row.id);
      files = {row.id, own.condition, own.emotion};
      recordings.push_back(row);
    }
    speakers[row.speaker].add(files);
  }
  write_speakers(folder / "speakers.json", speakers);
  nlohmann::ordered_json described = {{"speakers", nlohmann::ordered_json::object()}};
  for (const auto& [name, clips] : speakers) {
    described["speakers"][name] = {{"clips", clips.size()}};
    if (clips.size() == 1)
      log_warning("speaker '", name, "' has one clip: it can only be conditioned on itself");
  }
  if (recordings.empty()) return described;
  ManifestOptions manifests;
  manifests.validation = set.validation;
  manifests.pairs = options_.pairs;
  manifests.seed = static_cast<uint64_t>(run_.seed);
  manifests.condition_length = config_.gpt.speaker.latents;
  manifests.tokenizer = options_.text().tokenizer.filename().string();
  manifests.gpt_checkpoint = config_.gpt_file.filename().string();
  described["manifests"] = write_manifests(recordings, speakers, folder, manifests);
  return described;
}

}  // namespace ttsft::indextts2
