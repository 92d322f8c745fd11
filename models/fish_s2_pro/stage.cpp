#include "models/fish_s2_pro/stage.h"

#include "models/fish_s2_pro/codes.h"
#include "models/fish_s2_pro/weights.h"
#include "ttsft/core/error.h"
#include "ttsft/core/log.h"
#include "ttsft/io/loralib.h"
#include "ttsft/io/safetensors.h"
#include "ttsft/model/merge_adapter.h"
#include "ttsft/nn/rng.h"

namespace ttsft::fish_s2_pro {
namespace {

const SpeechSample& speech(const Sample& sample) {
  return static_cast<const SpeechSample&>(sample);
}
const SpeechBatch& speech(const Batch& batch) {
  return static_cast<const SpeechBatch&>(batch);
}

ObjectiveOptions objective_options(const Options& options, const Config& config) {
  return {options.embedding_scale && config.scale_codebooks, options.tied_head == "adapted"};
}

}  // namespace

LmStage::LmStage(const ModelContext& context, const CheckpointRef& checkpoint)
    : run_(context.config),
      options_(static_cast<const Options&>(*context.config.model_options)),
      folder_(checkpoint.folder),
      config_(read_config(folder_)),
      tokenizer_(folder_),
      objective_(objective_options(options_, config_)),
      model_(load_dual_ar(folder_, config_, context.device, context.dtype)) {
  if (options_.layout_kind() == Layout::kUpstream)
    log_warning(
        "fish-s2-pro.layout: upstream is the prompt of the model before, which synth does "
        "not speak with: for comparisons only");
  if (!options_.embedding_scale)
    log_warning(
        "fish-s2-pro.embedding_scale: false: synth divides by sqrt(11), so that it hears "
        "other frames than are trained here: for comparisons only");
}

std::unique_ptr<SpeechSample> LmStage::sample(const std::string& id, const std::string& words,
                                              const torch::Tensor& codes) const {
  const TrainingColumns made = training_columns(tokenizer_, words, codes, options_.layout_kind());
  auto sample = std::make_unique<SpeechSample>();
  sample->id = id;
  sample->tokens = made.columns.tokens;
  sample->first_frame = made.first_label + 1;
  sample->codes = codes.to(torch::kInt16);
  sample->length = made.columns.size() - 1;
  return sample;
}

std::unique_ptr<Sample> LmStage::read(const PreparedRow& row) {
  const std::string where = "utterance " + row.id;
  const std::string npy = row.row.value("npy", "");
  if (npy.empty()) throw DataError("the row names no codes", where, "run ttsft prep again");
  const torch::Tensor codes = read_codes(run_.data.prepared / npy, config_, where);
  std::string words = training_text(row.row.value("text", ""), options_.layout_kind());
  if (options_.speaker_tag && options_.layout_kind() == Layout::kChat)
    words = with_speaker_tag(words);
  auto made = sample(row.id, words, codes);
  if (made->length > config_.max_seq_len)
    throw DataError(std::to_string(made->length) + " columns, the model has places for " +
                        std::to_string(config_.max_seq_len),
                    where, "cut the recording, and run ttsft prep again");
  return made;
}

std::unique_ptr<Sample> LmStage::random_sample(uint64_t seed) {
  constexpr int64_t kFrames = 12;
  torch::Generator generator = make_generator(torch::kCPU, derive_seed(seed, "random sample"));
  const torch::Tensor codes = torch::randint(0, config_.codebook_size, {kFrames, config_.codebooks},
                                             generator, torch::kInt64);
  return sample("random", "<|speaker:0|>a sentence to compare logits with", codes);
}

std::unique_ptr<Batch> LmStage::collate(std::span<const Sample* const> samples, const Draw&) const {
  std::vector<const SpeechSample*> rows;
  for (const Sample* row : samples) rows.push_back(&speech(*row));
  return std::make_unique<SpeechBatch>(objective_.collate(rows));
}

std::vector<LossTerm> LmStage::loss(const Batch& batch, const LossRequest& request) {
  return objective_.loss(model_, speech(batch), request.accuracy);
}

LanguageStage::Sequence LmStage::sequence(const Batch& batch) {
  const SpeechBatch& b = speech(batch);
  return {objective_.embed(model_, b), b.label_position.index_select(0, b.frame_label),
          b.label.index_select(0, b.frame_label)};
}

torch::Tensor LmStage::forward(const torch::Tensor& inputs) {
  return model_->slow()->forward(inputs);
}

LanguageStage::Forward LmStage::decoder(int64_t capacity, const torch::Tensor& like) {
  return [this, cache = model_->slow()->make_cache(1, capacity, like.options())](
             const torch::Tensor& inputs) mutable {
    return model_->slow()->forward(inputs, {}, {}, &cache);
  };
}

torch::Tensor LmStage::logits(const torch::Tensor& states) {
  return torch::linear(model_->norm(states), objective_.head(model_));
}

std::optional<Probe> LmStage::depth_probe(const Sample& sample) {
  const torch::NoGradGuard no_grad;
  const Sample* row = &sample;
  const auto batch = make_batch(std::span(&row, 1), {});
  return objective_.depth_probe(model_, speech(*batch));
}

torch::Tensor LmStage::target_codes(const Sample& sample) const {
  return speech(sample).codes.to(torch::kInt64);
}

void LmStage::save_beside_adapter(const std::filesystem::path& folder) {
  write_notice(folder);
  if (!options_.write_ckpt) return;
  write_loralib(folder / "lora.ckpt", SafetensorsReader::open(folder / kAdapterWeights));
}

void LmStage::save_full(const std::filesystem::path& folder,
                        const std::map<std::string, torch::Tensor>& weights) {
  write_checkpoint(folder_, folder, full_weights(*model_, weights));
}

}  // namespace ttsft::fish_s2_pro
