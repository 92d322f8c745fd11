// The two stages: a language model, and a flow whose loss draws noise.
#pragma once

#include "tests/toy/modules.h"
#include "ttsft/model/adapter.h"
#include "ttsft/model/language_stage.h"

namespace ttsft::toy {

std::vector<int64_t> text_ids(const std::string& text);  // its bytes, then 0: speech begins
// The key `codes` of a row: [[c0, .., c5] per frame]. DataError names the row.
torch::Tensor read_codes(const nlohmann::ordered_json& row, const std::string& where);  // [F, 6]

struct SpeechSample : Sample {
  std::vector<int64_t> text;
  torch::Tensor codes;  // [F, 6], int64
};

struct SpeechBatch : Batch {
  torch::Tensor text, text_position;               // [P]
  torch::Tensor codes, frame_position;             // [N, 6], [N]
  torch::Tensor frame_row, frame_label;            // [N]: of the batch, of the labels
  torch::Tensor label, label_position, label_row;  // [L]
  int64_t rows = 0, time = 0;

  void each(const std::function<void(torch::Tensor&)>& visit) override;
};

class LmStage : public LanguageStage {
 public:
  LmStage(const ModelContext& context, const CheckpointRef& checkpoint);

  torch::nn::Module& module() override { return *lm_; }
  bool trainable(const std::string&) const override { return true; }
  std::unique_ptr<Sample> read(const PreparedRow& row) override;
  std::unique_ptr<Sample> random_sample(uint64_t seed) override;
  std::unique_ptr<Batch> collate(std::span<const Sample* const> samples,
                                 const Draw& draw) const override;
  std::vector<LossTerm> loss(const Batch& batch, const LossRequest& request) override;
  std::optional<Probe> depth_probe(const Sample& sample) override;
  torch::Tensor target_codes(const Sample& sample) const override;
  void save_beside_adapter(const std::filesystem::path&) override {}
  void save_full(const std::filesystem::path& folder,
                 const std::map<std::string, torch::Tensor>& weights) override;

 protected:
  Sequence sequence(const Batch& batch) override;
  torch::Tensor forward(const torch::Tensor& inputs) override { return lm_->layers(inputs); }
  Forward decoder(int64_t capacity, const torch::Tensor& like) override;
  torch::Tensor logits(const torch::Tensor& states) override;

 private:
  torch::Tensor embed(const SpeechBatch& batch);
  torch::Tensor predicting(const SpeechBatch& batch);  // [L, D]

  std::filesystem::path folder_;
  Lm lm_{nullptr};
};

struct FlowBatch : Batch {
  torch::Tensor codes, row;        // [N, 6], [N]
  torch::Tensor mel, noise, time;  // [N, M], [N, M], [N, 1]

  void each(const std::function<void(torch::Tensor&)>& visit) override;
};

class FlowStage : public Stage {
 public:
  FlowStage(const ModelContext& context, const CheckpointRef& checkpoint);

  torch::nn::Module& module() override { return *flow_; }
  bool trainable(const std::string&) const override { return true; }
  std::unique_ptr<Sample> read(const PreparedRow& row) override;
  std::unique_ptr<Sample> random_sample(uint64_t seed) override;
  std::unique_ptr<Batch> collate(std::span<const Sample* const> samples,
                                 const Draw& draw) const override;
  std::vector<LossTerm> loss(const Batch& batch, const LossRequest& request) override;
  void save_beside_adapter(const std::filesystem::path&) override {}
  void save_full(const std::filesystem::path& folder,
                 const std::map<std::string, torch::Tensor>& weights) override;

 private:
  std::filesystem::path folder_;
  Flow flow_{nullptr};
};

// The release with one of its two files changed.
void write_release(const std::filesystem::path& base, const std::filesystem::path& out,
                   const char* file, const WeightChanges& changes, Rounding* rounding = nullptr);

}  // namespace ttsft::toy
