// The stage `lm`: T3, as the train and eval engines see it.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <set>

#include "models/chatterbox/clips.h"
#include "models/chatterbox/objective.h"
#include "models/chatterbox/options.h"
#include "ttsft/model/adapter.h"
#include "ttsft/model/language_stage.h"

namespace ttsft::chatterbox {

class LmStage : public LanguageStage {
 public:
  LmStage(const ModelContext& context, const CheckpointRef& checkpoint);

  torch::nn::Module& module() override { return *t3_; }
  // All of T3 but the table that nobody reads.
  bool trainable(const std::string& parameter) const override {
    return parameter != "tfmr.embed_tokens.weight";
  }

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
  Condition condition_of(const PreparedRow& row, const PreparedClip& clip);
  std::string lender_of(const PreparedRow& row);
  void save_voice(const std::filesystem::path& folder) const;

  const RunConfig& run_;
  const Options& options_;
  std::filesystem::path folder_;  // of the checkpoint
  Config config_;
  Objective objective_;
  int64_t start_text_, stop_text_;
  T3 t3_{nullptr};
  std::mutex reading_;                    // of what follows
  std::optional<SpeakerClips> speakers_;  // of the prepared set, read at the first need
  std::optional<Condition> given_;        // of chatterbox.condition: FILE
  std::set<std::string> lonely_;          // speakers of a single clip, each named once
};

}  // namespace ttsft::chatterbox
