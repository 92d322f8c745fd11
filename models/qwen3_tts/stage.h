// The stage `lm`: talker and code predictor, as the train and eval engines see them.
#pragma once

#include <memory>
#include <mutex>

#include "models/qwen3_tts/objective.h"
#include "models/qwen3_tts/options.h"
#include "models/qwen3_tts/text.h"
#include "models/qwen3_tts/weights.h"
#include "ttsft/model/adapter.h"
#include "ttsft/model/language_stage.h"

namespace ttsft::qwen3_tts {

// audio_codes of a row, [F, 16] int64; DataError with `where` when they are missing, misshapen or
// out of range.
torch::Tensor read_codes(const nlohmann::ordered_json& row, const Config& config,
                         const std::string& where);

class LmStage : public LanguageStage {
 public:
  LmStage(const ModelContext& context, const CheckpointRef& checkpoint);

  torch::nn::Module& module() override { return *model_; }
  bool trainable(const std::string&) const override {
    return true;
  }  // all of talker.*, as upstream

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
  const Speakers& speakers();
  int64_t language_id(const std::string& name, const std::string& where) const;

  const RunConfig& run_;
  const Options& options_;
  std::filesystem::path folder_;  // of the checkpoint
  Config config_;
  TextFrontend text_;
  Objective objective_;
  Qwen3Tts model_{nullptr};
  std::mutex reading_;
  Speakers speakers_;  // of the prepared set, read at the first need
};

}  // namespace ttsft::qwen3_tts
