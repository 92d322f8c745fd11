// What can be trained: the language model, and the flow.
#pragma once

#include <filesystem>
#include <string>

#include "models/cosyvoice3/flow_objective.h"
#include "models/cosyvoice3/objective.h"
#include "models/cosyvoice3/options.h"
#include "models/cosyvoice3/text.h"
#include "ttsft/model/adapter.h"
#include "ttsft/model/language_stage.h"

namespace ttsft::cosyvoice3 {

class LmStage : public LanguageStage {
 public:
  LmStage(const ModelContext& context, const CheckpointRef& checkpoint);

  torch::nn::Module& module() override { return *lm_; }
  bool trainable(const std::string&) const override { return true; }  // all, as upstream
  std::unique_ptr<Sample> read(const PreparedRow& row) override;
  std::unique_ptr<Sample> random_sample(uint64_t seed) override;
  std::unique_ptr<Batch> collate(std::span<const Sample* const> samples,
                                 const Draw& draw) const override;
  std::vector<LossTerm> loss(const Batch& batch, const LossRequest& request) override;
  torch::Tensor target_codes(const Sample& sample) const override;
  void save_beside_adapter(const std::filesystem::path& folder) override;
  void save_full(const std::filesystem::path& folder,
                 const std::map<std::string, torch::Tensor>& weights) override;

 protected:
  std::unique_ptr<Batch> probe_batch(const Sample& sample) override;  // one way always
  Sequence sequence(const Batch& batch) override;
  torch::Tensor forward(const torch::Tensor& inputs) override {
    return lm_->model->forward(inputs);
  }
  Forward decoder(int64_t capacity, const torch::Tensor& like) override;
  torch::Tensor logits(const torch::Tensor& states) override { return lm_->logits(states); }

 private:
  const RunConfig& run_;
  const Options& options_;
  std::filesystem::path folder_;
  Config config_;
  TextFrontend text_;
  Lm lm_{nullptr};
};

class FlowStage : public Stage {
 public:
  FlowStage(const ModelContext& context, const CheckpointRef& checkpoint);

  torch::nn::Module& module() override { return *flow_; }
  bool trainable(const std::string&) const override { return true; }
  // Reads the recording: the mel is in no file.
  std::unique_ptr<Sample> read(const PreparedRow& row) override;
  std::unique_ptr<Sample> random_sample(uint64_t seed) override;
  std::unique_ptr<Batch> collate(std::span<const Sample* const> samples,
                                 const Draw& draw) const override;
  std::vector<LossTerm> loss(const Batch& batch, const LossRequest& request) override;
  void save_beside_adapter(const std::filesystem::path& folder) override;
  void save_full(const std::filesystem::path& folder,
                 const std::map<std::string, torch::Tensor>& weights) override;

 private:
  const RunConfig& run_;
  const Options& options_;
  std::filesystem::path folder_;
  Config config_;
  Flow flow_{nullptr};
};

}  // namespace ttsft::cosyvoice3
