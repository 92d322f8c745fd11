#include "models/chatterbox/stage.h"

#include "models/chatterbox/text.h"
#include "models/chatterbox/voice.h"
#include "models/chatterbox/weights.h"
#include "ttsft/core/log.h"
#include "ttsft/model/merge_adapter.h"
#include "ttsft/nn/rng.h"

namespace ttsft::chatterbox {
namespace {

const SpeechSample& speech(const Sample& sample) {
  return static_cast<const SpeechSample&>(sample);
}
const SpeechBatch& speech(const Batch& batch) {
  return static_cast<const SpeechBatch&>(batch);
}

std::vector<const SpeechSample*> speech_rows(std::span<const Sample* const> samples) {
  std::vector<const SpeechSample*> rows;
  for (const Sample* sample : samples) rows.push_back(&speech(*sample));
  return rows;
}

torch::Tensor framed(int64_t start, const torch::Tensor& ids, int64_t stop) {
  return torch::cat({torch::full({1}, start, torch::kInt64), ids.to(torch::kInt64),
                     torch::full({1}, stop, torch::kInt64)});
}

}  // namespace

LmStage::LmStage(const ModelContext& context, const CheckpointRef& checkpoint)
    : run_(context.config),
      options_(static_cast<const Options&>(*context.config.model_options)),
      folder_(checkpoint.folder),
      config_(read_config(folder_)),
      objective_(config_.t3, options_) {
  const TextFrontend text(folder_);
  start_text_ = text.start();
  stop_text_ = text.stop();
  t3_ = load_t3(folder_, config_.t3, context.device, context.dtype);
}

// The clip of the speaker that conditions this one; "": there is no other.
std::string LmStage::lender_of(const PreparedRow& row) {
  const std::lock_guard lock(reading_);
  if (!speakers_) speakers_ = read_speakers(run_.data.prepared / "speakers.json");
  const std::string speaker = row.row.value("speaker", run_.data.speaker);
  std::string other = choose_other((*speakers_)[speaker], row.id, static_cast<uint64_t>(run_.seed));
  if (other.empty() && lonely_.insert(speaker).second)
    log_warning("speaker '", speaker,
                "' has no second clip: its clip is conditioned on its own first 3 s");
  return other;
}

Condition LmStage::condition_of(const PreparedRow& row, const PreparedClip& clip) {
  const std::filesystem::path& prepared = run_.data.prepared;
  const auto own = [&clip] { return Condition{clip.speaker_emb, clip.prompt_tokens}; };
  if (options_.condition.kind == ConditionChoice::Kind::kSelf) return own();
  if (options_.condition.kind == ConditionChoice::Kind::kFile) {
    const std::lock_guard lock(reading_);
    if (!given_)
      given_ = read_condition(prepared / "condition.safetensors", options_.condition.file);
    return *given_;
  }
  const std::string other = lender_of(row);
  if (other.empty()) return own();
  const PreparedClip lender = read_clip(prepared / clip_file(other));
  check_clip(lender, config_.t3, "utterance " + other);
  return {lender.speaker_emb, lender.cond_prompt_speech_tokens};
}

std::unique_ptr<Sample> LmStage::read(const PreparedRow& row) {
  const PreparedClip clip = read_clip(run_.data.prepared / clip_file(row.id));
  check_clip(clip, config_.t3, "utterance " + row.id);
  auto sample = std::make_unique<SpeechSample>();
  sample->id = row.id;
  sample->text = framed(start_text_, clip.text_ids, stop_text_);
  sample->speech = framed(kStartSpeech, clip.speech_codes, kStopSpeech);
  sample->condition = condition_of(row, clip);
  sample->length = objective_.length(*sample);
  return sample;
}

std::unique_ptr<Sample> LmStage::random_sample(uint64_t seed) {
  constexpr int64_t kCodes = 24, kText = 12;
  torch::Generator generator = make_generator(torch::kCPU, derive_seed(seed, "random sample"));
  const auto ids = [&](int64_t below, int64_t count) {
    return torch::randint(0, below, {count}, generator,
                          torch::TensorOptions().dtype(torch::kInt64));
  };
  auto sample = std::make_unique<SpeechSample>();
  sample->id = "random";
  sample->text = framed(start_text_, ids(config_.t3.text_vocab, kText), stop_text_);
  sample->speech = framed(kStartSpeech, ids(kSpeechCodes, kCodes), kStopSpeech);
  sample->condition.prompt = ids(kSpeechCodes, config_.t3.speech_cond_prompt_len);
  const torch::Tensor speaker =
      torch::rand({config_.t3.speaker_embed_size}, generator, torch::TensorOptions());
  sample->condition.speaker = speaker / speaker.norm();
  sample->length = objective_.length(*sample);
  return sample;
}

std::unique_ptr<Batch> LmStage::collate(std::span<const Sample* const> samples,
                                        const Draw& draw) const {
  std::vector<bool> hidden;
  if (draw.training && options_.text_drop > 0) {
    for (const Sample* sample : samples)
      hidden.push_back(draw.happens(sample->id, "text_drop", options_.text_drop));
  }
  return std::make_unique<SpeechBatch>(objective_.collate(speech_rows(samples), hidden));
}

std::vector<LossTerm> LmStage::loss(const Batch& batch, const LossRequest& request) {
  return objective_.loss(t3_, speech(batch), request.accuracy);
}

LanguageStage::Sequence LmStage::sequence(const Batch& batch) {
  const SpeechBatch& b = speech(batch);
  return {objective_.embed(t3_, b), b.speech.label_position, b.speech.label};
}

torch::Tensor LmStage::forward(const torch::Tensor& inputs) {
  return t3_->tfmr->forward(inputs);
}

LanguageStage::Forward LmStage::decoder(int64_t capacity, const torch::Tensor& like) {
  return [this, cache = t3_->tfmr->make_cache(1, capacity, like.options())](
             const torch::Tensor& inputs) mutable {
    return t3_->tfmr->forward(inputs, {}, {}, &cache);
  };
}

torch::Tensor LmStage::logits(const torch::Tensor& states) {
  return t3_->speech_head(t3_->tfmr->norm(states));
}

torch::Tensor LmStage::target_codes(const Sample& sample) const {
  const torch::Tensor& codes = speech(sample).speech;
  return codes.narrow(0, 1, codes.size(0) - 2);
}

// The voice that prep made of the speaker, so that a checkpoint speaks with it by itself; a set
// without recordings has none, and the release's stays.
void LmStage::save_voice(const std::filesystem::path& folder) const {
  for (const std::filesystem::path& source : {run_.data.prepared, folder_}) {
    const std::filesystem::path file = source / kVoiceFile;
    if (!std::filesystem::exists(file)) continue;
    write_voice(folder / kVoiceFile, read_voice(file), options_.exaggeration);
    return;
  }
}

void LmStage::save_beside_adapter(const std::filesystem::path& folder) {
  save_voice(folder);
}

void LmStage::save_full(const std::filesystem::path& folder,
                        const std::map<std::string, torch::Tensor>& weights) {
  const auto changed = full_weights(*t3_, weights);
  write_checkpoint(folder_, folder, changed);
  save_voice(folder);
}

}  // namespace ttsft::chatterbox
