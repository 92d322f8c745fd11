// A language model of a few hundred values behind the interface of models, so that engines can be
// tested in milliseconds. Header-only: include it in a test of any engine.
//
// Sequences of tokens 0..kToyVocabulary-1. Position t predicts token t+1 (term "main", weight 1)
// and two codebooks (term "sub", weight 0.5): (2 token + 1) and (3 token + 1) modulo the
// vocabulary.
#pragma once

#include <torch/torch.h>

#include <cmath>
#include <functional>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "ttsft/core/error.h"
#include "ttsft/data/prepared_set.h"
#include "ttsft/io/atomic_file.h"
#include "ttsft/io/safetensors.h"
#include "ttsft/model/adapter.h"
#include "ttsft/model/language_stage.h"
#include "ttsft/nn/layers.h"
#include "ttsft/nn/linear.h"
#include "ttsft/nn/rng.h"
#include "ttsft/nn/weights.h"

namespace ttsft::test {

inline constexpr int64_t kToyVocabulary = 11, kToyWidth = 8, kToyCodebooks = 2;

// Names: embed.weight, layer.q_proj.weight, layer.up_proj.weight, head.weight, sub_head.weight, and
// frozen.weight, which no stage trains.
class ToyModuleImpl : public torch::nn::Module {
 public:
  ToyModuleImpl() {
    embed = register_module("embed", Embedding(kToyVocabulary, kToyWidth));
    layer = register_module("layer", std::make_shared<Layer>());
    head = register_module("head", Linear(kToyWidth, kToyVocabulary));
    sub_head = register_module("sub_head", Linear(kToyWidth, kToyCodebooks * kToyVocabulary));
    frozen = register_module("frozen", Linear(kToyWidth, kToyWidth));
  }

  // ids [B, T] -> [B, T, D]; causal: position t sees the mean over 0..t, and itself.
  torch::Tensor hidden(const torch::Tensor& ids) { return states(embed(ids)); }
  // The same from embedded ids, [B, T, D].
  torch::Tensor states(const torch::Tensor& x) {
    const torch::Tensor count = torch::arange(1, x.size(1) + 1, x.options()).unsqueeze(1);
    torch::Tensor h = layer->q_proj(x.cumsum(1) / count) + x;
    if (dropout > 0) h = torch::dropout(h, dropout, is_training());
    return torch::tanh(h + torch::relu(layer->up_proj(h))) + frozen(x);
  }

  struct Layer : torch::nn::Module {
    Layer() {
      LinearOptions options{kToyWidth, kToyWidth};
      options.role = LinearRole::kAttention;
      q_proj = register_module("q_proj", Linear(options));
      options.role = LinearRole::kMlp;
      up_proj = register_module("up_proj", Linear(options));
    }
    Linear q_proj{nullptr}, up_proj{nullptr};
  };

  Embedding embed{nullptr};
  std::shared_ptr<Layer> layer;
  Linear head{nullptr}, sub_head{nullptr}, frozen{nullptr};
  double dropout = 0;
};
TORCH_MODULE(ToyModule);

struct ToySample : Sample {
  std::vector<int64_t> ids;
  bool sub = true;  // whether it supervises the term "sub"
};

struct ToyBatch : Batch {
  torch::Tensor tokens;     // [B, T], int64, padded with 0
  torch::Tensor row, time;  // [N], int64: where the predictions are made
  torch::Tensor sub;        // [M], int64: which of the N have targets in the term "sub"
  torch::Tensor noise;      // [B], with ToyFaults::noise

  void each(const std::function<void(torch::Tensor&)>& visit) override {
    for (torch::Tensor* tensor : {&tokens, &row, &time, &sub, &noise}) visit(*tensor);
  }
};

// What a test may break.
struct ToyFaults {
  double scale = 1;                           // of every loss: 0, infinity, not a number
  bool no_tokens = false;                     // no supervised token in the term "sub"
  bool decoding_differs = false;              // decode_probe
  double noise = 0;                           // times the draw "noise" of a row, on its losses
  int64_t shift = 0;                          // of the probes' targets
  std::function<void(const Batch&)> on_loss;  // called first thing in loss()
};

class ToyStage : public LanguageStage {
 public:
  ToyStage(ToyModule module, std::filesystem::path checkpoint,
           std::shared_ptr<const ToyFaults> faults = std::make_shared<ToyFaults>())
      : module_(std::move(module)),
        checkpoint_(std::move(checkpoint)),
        faults_(std::move(faults)) {}

  torch::nn::Module& module() override { return *module_; }
  bool trainable(const std::string& name) const override { return !name.starts_with("frozen"); }

  std::unique_ptr<Sample> read(const PreparedRow& row) override {
    auto sample = std::make_unique<ToySample>();
    sample->id = row.id;
    sample->ids = row.row.at("ids").get<std::vector<int64_t>>();
    sample->sub = row.row.value("sub", true);
    for (const int64_t id : sample->ids) {
      if (id < 0 || id >= kToyVocabulary) throw DataError("no such token", row.id);
    }
    sample->length = std::ssize(sample->ids);
    return sample;
  }

  std::unique_ptr<Sample> random_sample(uint64_t seed) override {
    torch::Generator generator = make_generator(torch::kCPU, seed);
    const torch::Tensor ids = torch::randint(0, kToyVocabulary, {9}, generator, torch::kInt64);
    auto sample = std::make_unique<ToySample>();
    sample->id = "random";
    sample->ids.assign(ids.data_ptr<int64_t>(), ids.data_ptr<int64_t>() + ids.numel());
    sample->length = ids.numel();
    return sample;
  }

  std::unique_ptr<Batch> collate(std::span<const Sample* const> samples,
                                 const Draw& draw) const override {
    auto batch = std::make_unique<ToyBatch>();
    int64_t longest = 0;
    for (const Sample* sample : samples) longest = std::max(longest, sample->length);
    batch->positions = std::ssize(samples) * longest;
    batch->padding = batch->positions;
    batch->tokens = torch::zeros({std::ssize(samples), longest}, torch::kInt64);
    std::vector<int64_t> row, time, sub;
    for (int64_t r = 0; r < std::ssize(samples); ++r) {
      const auto& sample = dynamic_cast<const ToySample&>(*samples[static_cast<size_t>(r)]);
      const auto& ids = sample.ids;
      batch->ids.push_back(sample.id);
      batch->padding -= std::ssize(ids);
      for (int64_t t = 0; t < std::ssize(ids); ++t) {
        batch->tokens[r][t] = ids[static_cast<size_t>(t)];
        if (t + 1 == std::ssize(ids)) continue;
        if (sample.sub && !faults_->no_tokens) sub.push_back(std::ssize(row));
        row.push_back(r);
        time.push_back(t);
      }
    }
    batch->row = torch::tensor(row, torch::kInt64);
    batch->time = torch::tensor(time, torch::kInt64);
    batch->supervised["main"] = static_cast<double>(std::ssize(row));
    batch->sub = torch::tensor(sub, torch::kInt64);
    batch->supervised["sub"] = static_cast<double>(kToyCodebooks * std::ssize(sub));
    if (faults_->noise > 0) {
      std::vector<torch::Tensor> noise;
      for (const Sample* sample : samples) noise.push_back(draw.normal(sample->id, "noise", {1}));
      batch->noise = torch::cat(noise);
    }
    return batch;
  }

  std::vector<LossTerm> loss(const Batch& generic, const LossRequest& request) override {
    if (faults_->on_loss) faults_->on_loss(generic);
    const auto& batch = dynamic_cast<const ToyBatch&>(generic);
    const torch::Tensor &tokens = batch.tokens, &row = batch.row, &time = batch.time,
                        &sub = batch.sub;
    const torch::Tensor h = module_->hidden(tokens).index({row, time});  // [N, D]
    const torch::Tensor next = tokens.index({row, time + 1});            // [N]
    const torch::Tensor logits = module_->sub_head(h.index_select(0, sub))
                                     .reshape({-1, kToyCodebooks, kToyVocabulary});  // [M, C, V]
    const torch::Tensor sub_next = next.index_select(0, sub);
    const torch::Tensor codes =
        torch::stack({sub_next * 2 + 1, sub_next * 3 + 1}, 1).remainder(kToyVocabulary);  // [M, C]
    std::vector<LossTerm> terms;
    terms.push_back(term("main", 1.0, module_->head(h), next, row, request));
    if (batch.noise.defined()) {
      const torch::Tensor noise = batch.noise.index_select(0, row);
      terms.back().value = terms.back().value + faults_->noise * noise;
    }
    terms.push_back(term("sub", 0.5, logits, codes, row.index_select(0, sub), request));
    return terms;
  }

  torch::Tensor target_codes(const Sample& sample) const override {
    return torch::tensor(static_cast<const ToySample&>(sample).ids, torch::kInt64);
  }
  void save_beside_adapter(const std::filesystem::path& folder) override {
    write_text_atomic(folder / "toy.json", "{\"toy\": true}\n");
  }

  void save_full(const std::filesystem::path& folder,
                 const std::map<std::string, torch::Tensor>& weights) override {
    std::vector<std::pair<std::string, torch::Tensor>> named;
    for (const auto& item : module_->named_parameters()) {
      const auto master = weights.find(item.key());
      named.emplace_back(item.key(), master == weights.end() ? item.value() : master->second);
    }
    save_tensors(folder / "model.safetensors", named);
    link_or_copy(checkpoint_ / "config.json", folder / "config.json");
  }

 protected:
  Sequence sequence(const Batch& generic) override {
    const auto& batch = dynamic_cast<const ToyBatch&>(generic);
    const int64_t first = 1 + faults_->shift, frames = batch.tokens.size(1) - first;
    const torch::Tensor& tokens = batch.tokens;
    return {module_->embed(tokens), torch::arange(frames, tokens.options()),
            tokens[0].narrow(0, first, frames)};
  }
  torch::Tensor forward(const torch::Tensor& inputs) override { return module_->states(inputs); }
  // Each time from the beginning: slow, and independent of the batch.
  Forward decoder(int64_t, const torch::Tensor& like) override {
    return [this, fed = like.narrow(1, 0, 0)](const torch::Tensor& inputs) mutable {
      fed = torch::cat({fed, inputs}, 1);
      const torch::Tensor states = module_->states(fed);
      return states.narrow(1, fed.size(1) - inputs.size(1), inputs.size(1)) *
             (faults_->decoding_differs ? 1.5 : 1.0);
    };
  }
  torch::Tensor logits(const torch::Tensor& states) override { return module_->head(states); }

 private:
  LossTerm term(const char* name, double weight, const torch::Tensor& logits,
                const torch::Tensor& targets, const torch::Tensor& row,
                const LossRequest& request) const {
    const torch::Tensor wide = logits.to(torch::kFloat32);
    LossTerm result{name, weight, {}, {}, row};
    result.value = -wide.log_softmax(-1).gather(-1, targets.unsqueeze(-1)).squeeze(-1);
    if (faults_->scale != 1) result.value = result.value * faults_->scale;
    if (request.accuracy) result.correct = wide.argmax(-1) == targets;
    return result;
  }

  ToyModule module_;
  std::filesystem::path checkpoint_;
  std::shared_ptr<const ToyFaults> faults_;
};

// A checkpoint in the toy's released layout: model.safetensors and config.json.
inline void write_toy_checkpoint(const std::filesystem::path& folder, uint64_t seed = 1) {
  std::filesystem::create_directories(folder);
  ToyModule module;
  torch::NoGradGuard no_grad;
  std::vector<std::pair<std::string, torch::Tensor>> named;
  for (const auto& item : module->named_parameters()) {
    torch::Generator generator = make_generator(torch::kCPU, derive_seed(seed, item.key()));
    named.emplace_back(item.key(), torch::empty_like(item.value()).normal_(0, 0.4, generator));
  }
  save_tensors(folder / "model.safetensors", named);
  write_text_atomic(folder / "config.json", "{\"model_type\": \"toy\"}\n");
}

// A prepared set whose first `validation` rows are held back. Tokens count upwards from a start
// that depends on the row, so that a model can learn them.
// The rows in without_sub supervise no "sub".
inline void write_toy_set(const std::filesystem::path& folder, const std::vector<int64_t>& lengths,
                          int64_t validation = 0, double share = 0,
                          const std::set<int64_t>& without_sub = {}) {
  PreparedWriter writer(folder, "toy");
  std::vector<std::string> order, held;
  for (int64_t i = 0; i < std::ssize(lengths); ++i) {
    PreparedRow row{"clip" + std::to_string(i), "key" + std::to_string(i), 1.0, {}};
    row.row["id"] = row.id;
    row.row["ids"] = nlohmann::ordered_json::array();
    for (int64_t t = 0; t < lengths[static_cast<size_t>(i)]; ++t) {
      row.row["ids"].push_back((3 * i + t) % kToyVocabulary);
    }
    if (without_sub.contains(i)) row.row["sub"] = false;
    order.push_back(row.id);
    if (i < validation) held.push_back(row.id);
    writer.add(row);
  }
  writer.finish(order, held, {}, {{"validation", {{"share", share}}}});
}

// The parts of an adapter that train and eval need.
class ToyAdapter : public ModelAdapter {
 public:
  ToyAdapter() {
    info_.name = "toy";
    info_.title = "Toy";
    info_.license = {"CC0-1.0", true, ""};
    info_.stages = {"lm"};
    info_.lora_targets = {"q_proj"};
    info_.releases = {"toy"};
  }

  const ModelInfo& info() const override { return info_; }
  std::shared_ptr<Section> make_options() const override { return nullptr; }
  void preset(RunConfig& config) const override { config.lora.targets.endings = {"q_proj"}; }
  std::string recognise(const std::filesystem::path& folder) const override {
    return std::filesystem::exists(folder / "model.safetensors") ? "toy checkpoint" : "";
  }

  std::unique_ptr<Stage> make_stage(const ModelContext& context,
                                    const CheckpointRef& checkpoint) const override {
    ToyModule module;
    module->dropout = context.config.train.dropout.value_or(0);
    const auto file = std::make_shared<SafetensorsReader>(
        SafetensorsReader::open(checkpoint.folder / "model.safetensors"));
    LoadOptions options;
    options.device = context.device;
    options.dtype = context.dtype;
    load_strict(*module, file, options);
    return std::make_unique<ToyStage>(module, checkpoint.folder, faults);
  }

  std::unique_ptr<Preparer> make_preparer(const ModelContext&) const override {
    throw std::logic_error("the toy prepares nothing");
  }
  std::unique_ptr<Synthesizer> make_synthesizer(const ModelContext&, const CheckpointSet&,
                                                double) const override {
    throw std::logic_error("the toy does not speak");
  }
  Rounding export_checkpoint(const ModelContext&, const CheckpointSet&, double,
                             const std::filesystem::path&) const override {
    throw std::logic_error("the toy exports nothing");
  }

  std::shared_ptr<ToyFaults> faults = std::make_shared<ToyFaults>();  // of every stage it makes
  ModelInfo info_;
};

}  // namespace ttsft::test
