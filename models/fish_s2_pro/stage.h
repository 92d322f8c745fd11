// The stage `lm`: both decoders, as the train and eval engines see them.
#pragma once

#include <memory>

#include "models/fish_s2_pro/objective.h"
#include "models/fish_s2_pro/options.h"
#include "models/fish_s2_pro/text.h"
#include "ttsft/model/adapter.h"
#include "ttsft/model/language_stage.h"

namespace ttsft::fish_s2_pro {

class LmStage : public LanguageStage {
 public:
  LmStage(const ModelContext& context, const CheckpointRef& checkpoint);

  torch::nn::Module& module() override { return *model_; }
  bool trainable(const std::string&) const override { return true; }

  std::unique_ptr<Sample> read(const PreparedRow& row) override;
  std::unique_ptr<Sample> random_sample(uint64_t seed) override;
  std::unique_ptr<Batch> collate(std::span<const Sample* const> samples,
                                 const Draw& draw) const override;
  std::vector<LossTerm> loss(const Batch& batch, const LossRequest& request) override;
  std::optional<Probe> depth_probe(const Sample& sample) override;
  torch::Tensor target_codes(const Sample& sample) const override;
  void save_beside_adapter(const std::filesystem::path& folder) override;
  void save_full(const std::filesystem::path& folder,
                 const std::map<std::string, torch::Tensor>& weights) override;

 protected:
  Sequence sequence(const Batch& batch) override;
  torch::Tensor forward(const torch::Tensor& inputs) override;
  Forward decoder(int64_t capacity, const torch::Tensor& like) override;
  torch::Tensor logits(const torch::Tensor& states) override;

 private:
  std::unique_ptr<SpeechSample> sample(const std::string& id, const std::string& words,
                                       const torch::Tensor& codes) const;

  const RunConfig& run_;
  const Options& options_;
  std::filesystem::path folder_;  // of the checkpoint
  Config config_;
  Tokenizer tokenizer_;
  Objective objective_;
  DualAr model_{nullptr};
};

}  // namespace ttsft::fish_s2_pro
