#include "models/indextts2/stage.h"

#include <algorithm>

#include "models/indextts2/vocabulary.h"
#include "ttsft/core/error.h"
#include "ttsft/core/log.h"
#include "ttsft/model/merge_adapter.h"
#include "ttsft/nn/rng.h"

namespace ttsft::indextts2 {
namespace {

constexpr double kDropout = 0.1;  // GPT-2's own, which upstream trains with

const PairSample& pair(const Sample& sample) {
  return static_cast<const PairSample&>(sample);
}
const SpeechBatch& speech(const Batch& batch) {
  return static_cast<const SpeechBatch&>(batch);
}

torch::Tensor long_tensor(const std::vector<int64_t>& values) {
  return torch::tensor(values, torch::kInt64);
}

}  // namespace

LmStage::LmStage(const ModelContext& context, const CheckpointRef& checkpoint)
    : run_(context.config),
      options_(static_cast<const Options&>(*context.config.model_options)),
      folder_(checkpoint.folder),
      config_(read_config(folder_)),
      objective_(config_.gpt, {options_.text_weight, options_.mel_weight}) {
  model_ = load_gpt(open_gpt(config_.gpt_file), config_.gpt, run_.train.dropout.value_or(kDropout),
                    context.device, context.dtype);
  if (!options_.extend_vocabulary.empty()) {
    if (run_.train.method == "lora")
      throw UsageError("an adapter has no place for new rows of the text tables",
                       "indextts2.extend_vocabulary", "train with method: full");
    config_.gpt.text_vocabulary =
        extend_vocabulary(model_, config_.bpe_model, options_.extend_vocabulary);
  }
  model_->eval();  // no dropout before train asks for it
}

std::vector<PromptFiles> LmStage::prompts_of(const PreparedRow& row, const ItemFiles& own) {
  const std::vector<PromptFiles> itself = {{row.id, own.condition, own.emotion}};
  if (row_kind(row.row) == RowKind::kPair) return itself;
  const std::lock_guard lock(reading_);
  if (!speakers_) speakers_ = read_speakers(run_.data.prepared / "speakers.json");
  const std::string speaker = row.row.value("speaker", run_.data.speaker);
  auto prompts = choose_prompts((*speakers_)[speaker], row.id, options_.pairs,
                                static_cast<uint64_t>(run_.seed));
  if (!prompts.empty()) return prompts;
  if (lonely_.insert(speaker).second)
    log_warning("speaker '", speaker,
                "' has no second clip: its clip is conditioned on itself, and gives itself away");
  return itself;
}

std::unique_ptr<Sample> LmStage::read(const PreparedRow& row) {
  const std::filesystem::path& prepared = run_.data.prepared;
  const ItemFiles files = item_files(row.row, "utterance " + row.id);
  auto sample = std::make_unique<PairSample>();
  sample->id = row.id;
  sample->text = read_text_ids(prepared / files.text_ids, config_.gpt, files.text_count);
  sample->codes = read_codes(prepared / files.codes, config_.gpt, files.code_count);
  sample->prompts = prompts_of(row, files);
  with_prompt(*sample, 0);  // refuses a prompt of another checkpoint before the first step
  sample->length = objective_.length(*sample);
  return sample;
}

SpeechSample LmStage::with_prompt(const PairSample& sample, size_t which) const {
  SpeechSample whole = sample;
  if (sample.prompts.empty()) return whole;
  const PromptFiles& prompt = sample.prompts[which];
  whole.condition = read_condition(run_.data.prepared / prompt.condition, config_.gpt);
  whole.emotion = read_emotion(run_.data.prepared / prompt.emotion, config_.gpt);
  return whole;
}

std::unique_ptr<Sample> LmStage::random_sample(uint64_t seed) {
  constexpr int64_t kCodes = 24, kText = 12;
  torch::Generator generator = make_generator(torch::kCPU, derive_seed(seed, "random sample"));
  const auto ids = [&](int64_t from, int64_t below, int64_t count) {
    const torch::Tensor drawn = torch::randint(from, below, {count}, generator, torch::kInt64);
    return std::vector<int64_t>(drawn.data_ptr<int64_t>(), drawn.data_ptr<int64_t>() + count);
  };
  const auto values = [&](torch::IntArrayRef shape) {
    return torch::randn(shape, generator, torch::TensorOptions()) * 0.5;
  };
  const GptConfig& c = config_.gpt;
  auto sample = std::make_unique<PairSample>();
  sample->id = "random";
  sample->text = ids(3, c.text_vocabulary, kText);
  sample->codes = ids(0, c.start_mel_token, kCodes);
  sample->condition = values({c.speaker.latents, c.model_dim});
  sample->emotion = values({c.model_dim});
  sample->length = objective_.length(*sample);
  return sample;
}

std::unique_ptr<Batch> LmStage::collate(std::span<const Sample* const> samples,
                                        const Draw& draw) const {
  std::vector<SpeechSample> rows;
  for (const Sample* sample : samples) {
    const PairSample& item = pair(*sample);
    const size_t choices = item.prompts.size();
    size_t which = 0;
    if (draw.training && choices > 1) {
      const auto share = draw.uniform(item.id, "prompt", {1}).item<float>();
      which = std::min(static_cast<size_t>(share * static_cast<float>(choices)), choices - 1);
    }
    rows.push_back(with_prompt(item, which));
  }
  std::vector<const SpeechSample*> pointers;
  for (const SpeechSample& row : rows) pointers.push_back(&row);
  return std::make_unique<SpeechBatch>(objective_.collate(pointers));
}

std::vector<LossTerm> LmStage::loss(const Batch& batch, const LossRequest& request) {
  return objective_.loss(model_, speech(batch), request.accuracy);
}

LanguageStage::Sequence LmStage::sequence(const Batch& batch) {
  const SpeechBatch& b = speech(batch);
  return {objective_.embed(model_, b), b.mel.label_position, b.mel.label};
}

torch::Tensor LmStage::forward(const torch::Tensor& inputs) {
  return model_->gpt->forward(inputs);
}

LanguageStage::Forward LmStage::decoder(int64_t capacity, const torch::Tensor& like) {
  return
      [this, cache = model_->gpt->make_cache(1, capacity, like.options())](
          const torch::Tensor& inputs) mutable { return model_->gpt->forward(inputs, {}, &cache); };
}

torch::Tensor LmStage::logits(const torch::Tensor& states) {
  return model_->mel_head(model_->norm(states));
}

torch::Tensor LmStage::target_codes(const Sample& sample) const {
  return long_tensor(pair(sample).codes);
}

void LmStage::save_beside_adapter(const std::filesystem::path&) {
  // Upstream's tools read no adapters, and PEFT wants its two files alone.
}

void LmStage::save_full(const std::filesystem::path& folder,
                        const std::map<std::string, torch::Tensor>& weights) {
  const auto changed = full_weights(*model_, weights);
  write_release(config_, folder, changed, GptPrecision::kKeep, options_.extend_vocabulary);
}

}  // namespace ttsft::indextts2
