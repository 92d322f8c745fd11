// The stage `lm`: the backbone and the transformer of its flow, as the train and eval engines see
// them.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>

#include "models/voxtral/clips.h"
#include "models/voxtral/objective.h"
#include "models/voxtral/options.h"
#include "models/voxtral/text.h"
#include "ttsft/model/adapter.h"
#include "ttsft/model/language_stage.h"

namespace ttsft::voxtral {

class LmStage : public LanguageStage {
 public:
  LmStage(const ModelContext& context, const CheckpointRef& checkpoint);

  torch::nn::Module& module() override { return *lm_; }
  // All but the text's table, which the paper keeps frozen.
  bool trainable(const std::string& parameter) const override;

  std::unique_ptr<Sample> read(const PreparedRow& row) override;
  std::unique_ptr<Sample> random_sample(uint64_t seed) override;
  std::unique_ptr<Batch> collate(std::span<const Sample* const> samples,
                                 const Draw& draw) const override;
  std::vector<LossTerm> loss(const Batch& batch, const LossRequest& request) override;
  torch::Tensor target_codes(const Sample& sample) const override;
  void save_beside_adapter(const std::filesystem::path&) override {}
  void save_full(const std::filesystem::path& folder,
                 const std::map<std::string, torch::Tensor>& weights) override;

 protected:
  Sequence sequence(const Batch& batch) override;
  torch::Tensor forward(const torch::Tensor& inputs) override {
    return lm_->backbone()->forward(inputs);
  }
  Forward decoder(int64_t capacity, const torch::Tensor& like) override;
  torch::Tensor logits(const torch::Tensor& states) override;

 private:
  VoiceRows voice_of(const PreparedRow& row, const std::string& where);
  torch::Tensor preset(const std::string& name);
  const Clips& clips() const;
  VoiceRows drawn_voice(const SpeechSample& sample, const Draw& draw) const;

  const RunConfig& run_;
  const Options& options_;
  std::filesystem::path folder_;  // of the checkpoint
  Config config_;
  Tokenizer tokenizer_;
  Objective objective_;
  Lm lm_{nullptr};

  mutable std::mutex mutex_;  // over what is read when it is first asked for
  mutable std::optional<Clips> clips_;
  std::map<std::string, torch::Tensor> presets_;
};

}  // namespace ttsft::voxtral
