#include "models/cosyvoice3/stage.h"

#include "models/cosyvoice3/encoders.h"
#include "models/cosyvoice3/rows.h"
#include "models/cosyvoice3/weights.h"
#include "ttsft/core/error.h"
#include "ttsft/io/torch_file.h"
#include "ttsft/model/link_release.h"
#include "ttsft/model/merge_adapter.h"
#include "ttsft/nn/rng.h"

namespace ttsft::cosyvoice3 {
namespace {

constexpr double kDitDropout = 0.1;  // the constructor's default, which upstream trains with

const SpeechSample& speech(const Sample& sample) {
  return static_cast<const SpeechSample&>(sample);
}
const SpeechBatch& speech(const Batch& batch) {
  return static_cast<const SpeechBatch&>(batch);
}

int64_t length_of(const SpeechSample& sample) {
  return std::ssize(sample.instruct) + std::ssize(sample.text) + std::ssize(sample.codes) + 2;
}

std::vector<int64_t> random_ids(torch::Generator& generator, int64_t below, int64_t count) {
  const torch::Tensor ids = torch::randint(0, below, {count}, generator, torch::kInt64);
  return {ids.data_ptr<int64_t>(), ids.data_ptr<int64_t>() + count};
}

void save_voices(const RunConfig& run, const std::filesystem::path& base,
                 const std::filesystem::path& out) {
  write_voices(base, out, voices_of_set(run.data.prepared, run.data.speaker));
}

}  // namespace

LmStage::LmStage(const ModelContext& context, const CheckpointRef& checkpoint)
    : run_(context.config),
      options_(static_cast<const Options&>(*context.config.model_options)),
      folder_(checkpoint.folder),
      config_(read_config(folder_, options_.talker_file())),
      text_(folder_),
      lm_(load_lm(open_tensor_file(folder_ / options_.talker_file()), config_.lm, context.device,
                  context.dtype)) {}

std::unique_ptr<Sample> LmStage::read(const PreparedRow& row) {
  auto sample = std::make_unique<SpeechSample>();
  sample->id = row.id;
  sample->codes = read_encoded(row.row, config_.lm, "utterance " + row.id).codes;
  sample->text = text_.encode(row.row.value("text", ""));
  sample->instruct = text_.encode(TextFrontend::instruction(row.row.value("instruct", "")));
  sample->length = length_of(*sample);
  return sample;
}

std::unique_ptr<Sample> LmStage::random_sample(uint64_t seed) {
  torch::Generator generator = make_generator(torch::kCPU, derive_seed(seed, "random sample"));
  auto sample = std::make_unique<SpeechSample>();
  sample->id = "random";
  sample->instruct = text_.encode(TextFrontend::instruction(""));
  sample->text = text_.encode("a sentence to compare logits with");
  sample->codes = random_ids(generator, config_.lm.codes, 24);
  sample->length = length_of(*sample);
  return sample;
}

std::unique_ptr<Batch> LmStage::collate(std::span<const Sample* const> samples,
                                        const Draw& draw) const {
  std::vector<const SpeechSample*> rows;
  std::vector<Layout> layouts;
  const Draw own{.training = draw.training, .seed = draw.seed};  // no replay names it
  for (const Sample* sample : samples) {
    rows.push_back(&speech(*sample));
    layouts.push_back(own.happens(sample->id, "bistream", options_.bistream)
                          ? bistream(*rows.back(), config_.lm, config_.mix_text, config_.mix_speech)
                          : unistream(*rows.back(), config_.lm));
  }
  return std::make_unique<SpeechBatch>(cosyvoice3::collate(rows, layouts));
}

std::unique_ptr<Batch> LmStage::probe_batch(const Sample& sample) {
  const SpeechSample* row = &speech(sample);
  const Layout layout = unistream(*row, config_.lm);
  return std::make_unique<SpeechBatch>(
      cosyvoice3::collate(std::span(&row, 1), std::span(&layout, 1)));
}

std::vector<LossTerm> LmStage::loss(const Batch& batch, const LossRequest& request) {
  return speech_loss(lm_, speech(batch), request.accuracy);
}

LanguageStage::Sequence LmStage::sequence(const Batch& batch) {
  const SpeechBatch& b = speech(batch);
  return {embed(lm_, b), b.label_position, b.label};
}

LanguageStage::Forward LmStage::decoder(int64_t capacity, const torch::Tensor& like) {
  return [this, cache = lm_->model->make_cache(1, capacity, like.options())](
             const torch::Tensor& inputs) mutable {
    return lm_->model->forward(inputs, {}, {}, &cache);
  };
}

torch::Tensor LmStage::target_codes(const Sample& sample) const {
  return torch::tensor(speech(sample).codes, torch::kInt64);
}

void LmStage::save_beside_adapter(const std::filesystem::path& folder) {
  save_voices(run_, folder_, folder);
}

void LmStage::save_full(const std::filesystem::path& folder,
                        const std::map<std::string, torch::Tensor>& weights) {
  write_stage_file(folder_, folder, options_.talker_file(), full_weights(*lm_, weights));
  save_voices(run_, folder_, folder);
  link_rest(folder_, folder);
}

FlowStage::FlowStage(const ModelContext& context, const CheckpointRef& checkpoint)
    : run_(context.config),
      options_(static_cast<const Options&>(*context.config.model_options)),
      folder_(checkpoint.folder),
      config_(read_config(folder_, options_.talker_file())),
      flow_(load_flow(open_tensor_file(folder_ / kFlowFile),
                      run_.train.dropout.value_or(kDitDropout), context.device, context.dtype)) {}

std::unique_ptr<Sample> FlowStage::read(const PreparedRow& row) {
  const std::string where = "utterance " + row.id;
  const EncodedClip clip = read_encoded(row.row, config_.lm, where);
  const std::string audio = row.row.value("audio", "");
  if (audio.empty() || !std::filesystem::is_regular_file(audio))
    throw DataError("the recording " + audio + " is not there", where,
                    "the flow learns from recordings: keep them where prep found them");
  const Audio decoded = decode_audio(audio).audio;
  const torch::Tensor mel = training_mel(resampled(decoded, kOutputRate));
  // Roundings leave a code or a pair of frames too many.
  const auto codes = std::min<int64_t>(std::ssize(clip.codes), mel.size(0) / kS3FramesPerCode);
  auto sample = std::make_unique<FlowSample>();
  sample->id = row.id;
  sample->codes = torch::tensor(clip.codes, torch::kInt64).narrow(0, 0, codes);
  sample->mel = mel.narrow(0, 0, kS3FramesPerCode * codes).clone();
  sample->embedding = torch::tensor(clip.embedding, torch::kFloat64).to(torch::kFloat32);
  sample->length = kS3FramesPerCode * codes;
  return sample;
}

std::unique_ptr<Sample> FlowStage::random_sample(uint64_t seed) {
  constexpr int64_t kCodes = 24;
  torch::Generator generator = make_generator(torch::kCPU, derive_seed(seed, "random sample"));
  auto sample = std::make_unique<FlowSample>();
  sample->id = "random";
  const TokenFlowOptions& o = flow_->options();
  sample->codes = torch::randint(0, o.codes, {kCodes}, generator, torch::kInt64);
  sample->mel = torch::randn({kS3FramesPerCode * kCodes, o.mels}, generator);
  sample->embedding = torch::randn({o.speaker}, generator);
  sample->length = kS3FramesPerCode * kCodes;
  return sample;
}

std::unique_ptr<Batch> FlowStage::collate(std::span<const Sample* const> samples,
                                          const Draw& draw) const {
  std::vector<const FlowSample*> rows;
  for (const Sample* sample : samples) rows.push_back(static_cast<const FlowSample*>(sample));
  return std::make_unique<FlowBatch>(collate_flow(rows, draw, options_.mask()));
}

std::vector<LossTerm> FlowStage::loss(const Batch& batch, const LossRequest&) {
  return flow_loss(flow_, static_cast<const FlowBatch&>(batch),
                   kS3FramesPerCode * config_.chunk_codes);
}

void FlowStage::save_beside_adapter(const std::filesystem::path& folder) {
  save_voices(run_, folder_, folder);
}

void FlowStage::save_full(const std::filesystem::path& folder,
                          const std::map<std::string, torch::Tensor>& weights) {
  write_stage_file(folder_, folder, kFlowFile, full_weights(*flow_, weights));
  save_voices(run_, folder_, folder);
  link_rest(folder_, folder);
}

}  // namespace ttsft::cosyvoice3
