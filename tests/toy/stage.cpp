#include "tests/toy/stage.h"

#include "ttsft/core/error.h"
#include "ttsft/io/torch_file.h"
#include "ttsft/model/link_release.h"
#include "ttsft/model/merge_adapter.h"
#include "ttsft/nn/loss.h"
#include "ttsft/nn/rng.h"

namespace ttsft::toy {
namespace {

const SpeechSample& speech(const Sample& sample) {
  return static_cast<const SpeechSample&>(sample);
}

torch::Tensor long_tensor(const std::vector<int64_t>& values) {
  return torch::tensor(values, torch::kInt64);
}

std::unique_ptr<SpeechSample> make_sample(const std::string& id, const std::string& text,
                                          torch::Tensor codes) {
  auto sample = std::make_unique<SpeechSample>();
  sample->id = id;
  sample->text = text_ids(text);
  sample->codes = std::move(codes);
  sample->length = std::ssize(sample->text) + sample->codes.size(0);
  return sample;
}

std::unique_ptr<SpeechSample> random_speech(uint64_t seed) {
  torch::Generator generator = make_generator(torch::kCPU, derive_seed(seed, "random sample"));
  return make_sample("random", "some words",
                     torch::randint(0, kCodes, {20, kLevels}, generator, torch::kInt64));
}

std::unique_ptr<SpeechSample> read_speech(const PreparedRow& row) {
  return make_sample(row.id, row.row.value("text", ""), read_codes(row.row, "utterance " + row.id));
}

}  // namespace

std::vector<int64_t> text_ids(const std::string& text) {
  std::vector<int64_t> ids;
  for (const char byte : text) ids.push_back(static_cast<unsigned char>(byte) % kTextIds);
  ids.push_back(0);
  return ids;
}

torch::Tensor read_codes(const nlohmann::ordered_json& row, const std::string& where) {
  const auto codes = row.value("codes", std::vector<std::vector<int64_t>>());
  if (codes.empty()) throw DataError("no codes", where);
  torch::Tensor result = torch::empty({std::ssize(codes), kLevels}, torch::kInt64);
  for (size_t f = 0; f < codes.size(); ++f) {
    if (std::ssize(codes[f]) != kLevels) throw DataError("a frame has not six codes", where);
    for (size_t level = 0; level < codes[f].size(); ++level) {
      if (codes[f][level] < 0 || codes[f][level] >= kCodes) throw DataError("no such code", where);
      result[static_cast<int64_t>(f)][static_cast<int64_t>(level)] = codes[f][level];
    }
  }
  return result;
}

void SpeechBatch::each(const std::function<void(torch::Tensor&)>& visit) {
  for (torch::Tensor* tensor : {&text, &text_position, &codes, &frame_position, &frame_row,
                                &frame_label, &label, &label_position, &label_row})
    visit(*tensor);
}

LmStage::LmStage(const ModelContext& context, const CheckpointRef& checkpoint)
    : folder_(checkpoint.folder), lm_(load_lm(folder_, context.device, context.dtype)) {}

std::unique_ptr<Sample> LmStage::read(const PreparedRow& row) {
  return read_speech(row);
}

std::unique_ptr<Sample> LmStage::random_sample(uint64_t seed) {
  return random_speech(seed);
}

std::unique_ptr<Batch> LmStage::collate(std::span<const Sample* const> samples, const Draw&) const {
  auto batch = std::make_unique<SpeechBatch>();
  batch->rows = std::ssize(samples);
  for (const Sample* sample : samples) batch->time = std::max(batch->time, sample->length);
  std::vector<int64_t> text, text_position, frame_position, frame_row, frame_label, label,
      label_position, label_row;
  std::vector<torch::Tensor> codes;
  int64_t used = 0;
  for (int64_t b = 0; b < batch->rows; ++b) {
    const SpeechSample& sample = speech(*samples[static_cast<size_t>(b)]);
    batch->ids.push_back(sample.id);
    int64_t place = b * batch->time;
    for (const int64_t id : sample.text) {
      text.push_back(id);
      text_position.push_back(place++);
    }
    const auto expect = [&](int64_t target) {
      label.push_back(target);
      label_position.push_back(place - 1);
      label_row.push_back(b);
    };
    for (int64_t f = 0; f < sample.codes.size(0); ++f) {
      frame_label.push_back(std::ssize(label));
      expect(sample.codes[f][0].item<int64_t>());
      frame_position.push_back(place++);
      frame_row.push_back(b);
    }
    expect(kEnd);
    codes.push_back(sample.codes);
    used += sample.length;
  }
  batch->text = long_tensor(text);
  batch->text_position = long_tensor(text_position);
  batch->codes = torch::cat(codes);
  batch->frame_position = long_tensor(frame_position);
  batch->frame_row = long_tensor(frame_row);
  batch->frame_label = long_tensor(frame_label);
  batch->label = long_tensor(label);
  batch->label_position = long_tensor(label_position);
  batch->label_row = long_tensor(label_row);
  batch->positions = batch->rows * batch->time;
  batch->padding = batch->positions - used;
  batch->supervised["first"] = static_cast<double>(label.size());
  batch->supervised["levels"] = static_cast<double>(frame_row.size() * (kLevels - 1));
  return batch;
}

torch::Tensor LmStage::embed(const SpeechBatch& batch) {
  const torch::Tensor values = torch::cat({lm_->text_emb(batch.text), lm_->frames(batch.codes)});
  const torch::Tensor places = torch::cat({batch.text_position, batch.frame_position});
  return torch::zeros({batch.positions, kWidth}, values.options())
      .index_copy(0, places, values)
      .view({batch.rows, batch.time, kWidth});
}

torch::Tensor LmStage::predicting(const SpeechBatch& batch) {
  const torch::Tensor hidden = lm_->layers(embed(batch)).flatten(0, 1);
  return lm_->norm(hidden.index_select(0, batch.label_position));
}

std::vector<LossTerm> LmStage::loss(const Batch& generic, const LossRequest& request) {
  const auto& batch = static_cast<const SpeechBatch&>(generic);
  const torch::Tensor states = predicting(batch);
  const TokenLoss first =
      linear_cross_entropy(states, lm_->head->effective_weight(), batch.label, request.accuracy);
  const auto outputs =
      lm_->predictor_hidden(states.index_select(0, batch.frame_label), batch.codes).unbind(1);
  std::vector<torch::Tensor> nll, correct;
  for (size_t i = 0; i < outputs.size(); ++i) {
    const TokenLoss part =
        linear_cross_entropy(outputs[i], lm_->level_head[i]->effective_weight(),
                             batch.codes.select(1, static_cast<int64_t>(i) + 1), request.accuracy);
    nll.push_back(part.nll);
    if (request.accuracy) correct.push_back(part.correct);
  }
  return {{"first", 1.0, first.nll, first.correct, batch.label_row},
          {"levels", 1.0, torch::stack(nll, 1),
           request.accuracy ? torch::stack(correct, 1) : torch::Tensor(), batch.frame_row}};
}

std::optional<Probe> LmStage::depth_probe(const Sample& sample) {
  const torch::NoGradGuard no_grad;
  const Sample* row = &sample;
  const auto generic = make_batch(std::span(&row, 1), {});
  const auto& batch = static_cast<const SpeechBatch&>(*generic);
  const auto outputs =
      lm_->predictor_hidden(predicting(batch).index_select(0, batch.frame_label), batch.codes)
          .unbind(1);
  std::vector<torch::Tensor> scores;
  for (size_t i = 0; i < outputs.size(); ++i) scores.push_back(lm_->level_head[i](outputs[i]));
  return Probe{torch::stack(scores, 1), batch.codes.narrow(1, 1, kLevels - 1)};
}

torch::Tensor LmStage::target_codes(const Sample& sample) const {
  return speech(sample).codes;
}

LanguageStage::Sequence LmStage::sequence(const Batch& generic) {
  const auto& batch = static_cast<const SpeechBatch&>(generic);
  return {embed(batch), batch.label_position, batch.label};
}

LanguageStage::Forward LmStage::decoder(int64_t capacity, const torch::Tensor& like) {
  return [this, cache = lm_->layers->make_cache(1, capacity, like.options())](
             const torch::Tensor& inputs) mutable {
    return lm_->layers->forward(inputs, {}, {}, &cache);
  };
}

torch::Tensor LmStage::logits(const torch::Tensor& states) {
  return lm_->head(lm_->norm(states));
}

void LmStage::save_full(const std::filesystem::path& folder,
                        const std::map<std::string, torch::Tensor>& weights) {
  write_release(folder_, folder, kLmFile, full_weights(*lm_, weights));
}

void FlowBatch::each(const std::function<void(torch::Tensor&)>& visit) {
  for (torch::Tensor* tensor : {&codes, &row, &mel, &noise, &time}) visit(*tensor);
}

FlowStage::FlowStage(const ModelContext& context, const CheckpointRef& checkpoint)
    : folder_(checkpoint.folder), flow_(load_flow(folder_, context.device, context.dtype)) {}

std::unique_ptr<Sample> FlowStage::read(const PreparedRow& row) {
  auto sample = read_speech(row);
  sample->length = sample->codes.size(0);
  return sample;
}

std::unique_ptr<Sample> FlowStage::random_sample(uint64_t seed) {
  return random_speech(seed);
}

// A clip is at one time of the flow (Lipman et al. 2023), drawn with its noise.
std::unique_ptr<Batch> FlowStage::collate(std::span<const Sample* const> samples,
                                          const Draw& draw) const {
  auto batch = std::make_unique<FlowBatch>();
  std::vector<torch::Tensor> codes, row, noise, time;
  for (const Sample* generic : samples) {
    const SpeechSample& sample = speech(*generic);
    const int64_t frames = sample.codes.size(0);
    codes.push_back(sample.codes);
    row.push_back(torch::full({frames}, std::ssize(batch->ids), torch::kInt64));
    noise.push_back(draw.normal(sample.id, "z", {frames, kMel}));
    time.push_back(draw.uniform(sample.id, "t", {1}).expand({frames}));
    batch->ids.push_back(sample.id);
  }
  batch->codes = torch::cat(codes);
  batch->row = torch::cat(row);
  batch->mel = mel_of(batch->codes);
  batch->noise = torch::cat(noise);
  batch->time = torch::cat(time).unsqueeze(1);
  batch->positions = batch->codes.size(0);
  batch->supervised["flow"] = static_cast<double>(batch->positions);
  return batch;
}

std::vector<LossTerm> FlowStage::loss(const Batch& generic, const LossRequest&) {
  const auto& batch = static_cast<const FlowBatch&>(generic);
  const torch::Tensor x = batch.time * batch.mel + (1 - batch.time) * batch.noise;
  const auto type = flow_->in->weight.scalar_type();
  const torch::Tensor velocity =
      flow_->velocity(x.to(type), batch.time.to(type), batch.codes).to(torch::kFloat32);
  return {{"flow", 1.0, (velocity - (batch.mel - batch.noise)).square().mean(1), {}, batch.row}};
}

void FlowStage::save_full(const std::filesystem::path& folder,
                          const std::map<std::string, torch::Tensor>& weights) {
  write_release(folder_, folder, kFlowFile, full_weights(*flow_, weights));
}

void write_release(const std::filesystem::path& base, const std::filesystem::path& out,
                   const char* file, const WeightChanges& changes, Rounding* rounding) {
  std::filesystem::create_directories(out);
  link_release(base, out, [&](const std::filesystem::path& relative) {
    return relative == file || std::filesystem::exists(out / relative);
  });
  write_weights(out / file, as_they_are(open_tensor_file(base / file)->tensors()), changes,
                rounding);
}

}  // namespace ttsft::toy
