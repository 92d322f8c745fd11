// The stage `lm`: the GPT, as the train and eval engines see it. The encoders that condition it are
// not in memory: prep has run them.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>

#include "models/indextts2/arrays.h"
#include "models/indextts2/objective.h"
#include "models/indextts2/options.h"
#include "models/indextts2/weights.h"
#include "ttsft/model/adapter.h"
#include "ttsft/model/language_stage.h"

namespace ttsft::indextts2 {

// A row whose prompt is read when a batch is made: the latents of a large set would fill memory.
struct PairSample : SpeechSample {
  std::vector<PromptFiles> prompts;  // one of them at a time; empty: condition and emotion are set
};

class LmStage : public LanguageStage {
 public:
  LmStage(const ModelContext& context, const CheckpointRef& checkpoint);

  torch::nn::Module& module() override { return *model_; }
  bool trainable(const std::string&) const override {
    return true;
  }  // all of UnifiedVoice, as upstream; the encoders are not here

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
  Sequence sequence(const Batch& batch) override;
  torch::Tensor forward(const torch::Tensor& inputs) override;
  Forward decoder(int64_t capacity, const torch::Tensor& like) override;
  torch::Tensor logits(const torch::Tensor& states) override;

 private:
  std::vector<PromptFiles> prompts_of(const PreparedRow& row, const ItemFiles& own);
  SpeechSample with_prompt(const PairSample& sample, size_t which) const;

  const RunConfig& run_;
  const Options& options_;
  std::filesystem::path folder_;  // of the checkpoint
  Config config_;
  Objective objective_;
  UnifiedVoice model_{nullptr};
  std::mutex reading_;                      // of what follows
  std::optional<SpeakerPrompts> speakers_;  // of the prepared set, read at the first need
  std::set<std::string> lonely_;            // speakers of a single clip, each named once
};

}  // namespace ttsft::indextts2
