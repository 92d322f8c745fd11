#include "models/chatterbox/prep.h"

#include <algorithm>

#include "ttsft/core/error.h"
#include "ttsft/core/hash.h"
#include "ttsft/core/log.h"
#include "ttsft/io/torch_file.h"
#include "ttsft/model/text_checks.h"

namespace ttsft::chatterbox {
namespace {

namespace fs = std::filesystem;

// Changes when the same input would give another row.
constexpr const char* kFormat = "chatterbox clip 1";

constexpr double kSecondsOnCpu = 60;                         // of a batch
constexpr int64_t kOwnPromptSamples = 3 * kTokenizerRate;    // zero-padded to this
constexpr int64_t kOtherPromptSamples = 6 * kTokenizerRate;  // as inference cuts a reference
constexpr int64_t kMostCodes = 1000;                         // what inference generates at most

// The first `samples` of a wave; with `pad` exactly so many.
torch::Tensor head(const torch::Tensor& wave, int64_t samples, bool pad) {
  const torch::Tensor cut = wave.narrow(0, 0, std::min(wave.size(0), samples));
  return pad ? torch::constant_pad_nd(cut, {0, samples - cut.size(0)}) : cut;
}

}  // namespace

SpeechPreparer::SpeechPreparer(const ModelContext& context)
    : RecordingPreparer(context, kSecondsOnCpu),
      options_(static_cast<const Options&>(*run_.model_options)),
      config_(read_config(run_.checkpoint)),
      text_(run_.checkpoint),
      voices_(run_.checkpoint, config_, device_) {
  if (text_.size() > config_.t3.text_vocab)
    throw DataError("tokenizer.json has " + std::to_string(text_.size()) + " ids and text_emb " +
                        std::to_string(config_.t3.text_vocab) + " rows",
                    run_.checkpoint.string(), "take both from one release");
  Hasher hasher;
  hasher.add(kFormat).add(hash_file(run_.checkpoint / "tokenizer.json"));
  for (const char* stem : {"s3gen", "ve"})
    hasher.add(hash_file(open_weights(run_.checkpoint, stem)->path()));
  fingerprint_ = hasher.hex();
}

AudioLimits SpeechPreparer::limits() const {
  AudioLimits limits;
  limits.sample_rate = kTokenizerRate;
  limits.min_seconds = 0.48;  // 12 codes
  limits.max_seconds = kMostCodes / kCodesPerSecond;
  return limits;
}

std::vector<std::string> SpeechPreparer::set_files() const {
  return {"clips", "speakers.json", "condition.safetensors", kVoiceFile};
}

std::string SpeechPreparer::content_hash(const Utterance& utterance) const {
  return needs_audio(utterance) ? "" : hash_file(utterance.row["cache"].get<std::string>());
}

bool SpeechPreparer::intact(const nlohmann::ordered_json& row) const {
  const auto there = [&](const char* key) {
    return row.contains(key) && row[key].is_string() &&
           opens([&] { open_tensor_file(run_.data.prepared / row[key].get<std::string>()); });
  };
  return there("clip") && (!options_.write_cache || there("torch_cache"));
}

void SpeechPreparer::load(PrepItem& item) const {
  if (!needs_audio(*item.utterance)) return;
  // Refuses what train could not use before the encoder spends time on it.
  item.text_ids = text_.encode(item.utterance->text);
  check_transcript(std::ssize(item.text_ids), text_.unknown_share(item.text_ids),
                   {config_.t3.max_text_tokens, "[UNK]", "write it in the letters of English"},
                   item.utterance->where);
  item.wave = at_rate(std::move(item.audio), kTokenizerRate);
}

void SpeechPreparer::take_encoded(PrepItem& item) {
  fill_row(item, read_cache(item.utterance->row["cache"].get<std::string>(), config_.t3));
}

void SpeechPreparer::encode_recordings(std::span<PrepItem* const> items) {
  std::vector<torch::Tensor> waves, jobs, prompts;
  for (const PrepItem* item : items) {
    waves.push_back(wave_of(*item).to(device_));
    prompts.push_back(head(waves.back(), kOtherPromptSamples, /*pad=*/false));
  }
  // One run for the whole clips and their padded first 3 s.
  jobs = waves;
  for (const torch::Tensor& wave : waves)
    jobs.push_back(head(wave, kOwnPromptSamples, /*pad=*/true));
  const std::vector<torch::Tensor> codes = voices_.tokenizer()->encode(jobs);
  const std::vector<torch::Tensor> lent =
      voices_.tokenizer()->encode(prompts, config_.t3.speech_cond_prompt_len);
  const std::vector<torch::Tensor> speakers = voices_.voice_encoder()->embed(waves);
  for (size_t i = 0; i < items.size(); ++i) {
    fill_row(*items[i], {codes[i], torch::tensor(items[i]->text_ids, torch::kInt64),
                         speakers[i].to(torch::kCPU), codes[items.size() + i], lent[i]});
  }
}

void SpeechPreparer::fill_row(PrepItem& item, const PreparedClip& clip) const {
  const Utterance& utterance = *item.utterance;
  if (clip.speech_codes.size(0) > kMostCodes) {
    item.refused = std::to_string(clip.speech_codes.size(0)) + " codes, inference stops at " +
                   std::to_string(kMostCodes) + " (40 s): cut the recording";
    return;
  }
  try {
    check_clip(clip, config_.t3, utterance.where);
  } catch (const DataError& error) {
    item.refused = error.what();
    return;
  }
  item.save = [this, clip, id = utterance.id] {
    write_clip(run_.data.prepared / clip_file(id), clip);
    if (options_.write_cache) write_cache(run_.data.prepared / cache_file(id), clip);
  };
  item.seconds = static_cast<double>(clip.speech_codes.size(0)) / kCodesPerSecond;
  item.row = utterance.row;
  if (!utterance.speaker.empty()) item.row["speaker"] = utterance.speaker;
  item.row["clip"] = clip_file(utterance.id).string();
  if (options_.write_cache) item.row["torch_cache"] = cache_file(utterance.id).string();
  // What the losses will be taken over: a clip without labels never gets here.
  item.row["labels"] = {{"text", clip.text_ids.size(0) + 1},
                        {"speech", clip.speech_codes.size(0) + 1}};
}

// Of which speaker conds.pt is, which upstream speaks with: of data.speaker, else of the one with
// the most clips. "" and no such voice when no row has a recording.
std::string SpeechPreparer::main_speaker(const KeptSet& set) const {
  if (set.voices.contains(run_.data.speaker)) return run_.data.speaker;
  std::map<std::string, int64_t> clips;
  for (const Utterance& row : set.rows)
    if (set.voices.contains(row.speaker)) ++clips[row.speaker];
  const auto most = std::max_element(
      clips.begin(), clips.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == clips.end() ? "" : most->first;
}

nlohmann::ordered_json SpeechPreparer::finish(const KeptSet& set, const fs::path& folder) {
  const std::vector<Utterance>& rows = set.rows;
  c10::InferenceMode inference;
  SpeakerClips speakers;
  for (const Utterance& row : rows) speakers[row.speaker].add(row.id);
  write_speakers(folder / "speakers.json", speakers);
  nlohmann::ordered_json described = {{"speakers", nlohmann::ordered_json::object()}};
  for (const auto& [name, clips] : speakers)
    described["speakers"][name] = {{"clips", clips.size()}};
  const std::vector<ClipLengths> lengths = clip_lengths(rows, folder);
  described["labels"] = report_lengths(rows, lengths);

  if (options_.condition.kind == ConditionChoice::Kind::kFile) {
    const fs::path& recording = options_.condition.file;
    write_condition(folder / "condition.safetensors", voices_.condition(recording),
                    hash_file(recording));
    described["condition"] = recording.string();
  } else if (options_.condition.kind == ConditionChoice::Kind::kOther) {
    for (const auto& [name, clips] : speakers) {
      if (clips.size() == 1)
        log_warning("speaker '", name, "' has one clip: it can only be conditioned on itself");
    }
  }
  if (const auto voice = set.voices.find(main_speaker(set)); voice != set.voices.end()) {
    write_voice(folder / kVoiceFile, voices_.make(voice->second.file), options_.exaggeration);
    described["voice"] = voice->second.file.string();
  } else {
    log_warning("no recording to make the voice of: checkpoints keep the release's conds.pt");
  }
  return described;
}

}  // namespace ttsft::chatterbox
