// The stage `encoder`: an encoder for the frozen codec, which the release lacks, trained on the
// user's recordings.
#pragma once

#include <memory>
#include <mutex>
#include <optional>

#include "models/voxtral/encoder_objective.h"
#include "models/voxtral/options.h"
#include "ttsft/model/adapter.h"

namespace ttsft::voxtral {

// Codes whose sound the decoder makes: windows of what the release's voices were encoded to, some
// of it replaced at random; where that cannot be told, codes drawn evenly.
class Anchors {
 public:
  Anchors(std::filesystem::path checkpoint, Config config)
      : checkpoint_(std::move(checkpoint)), config_(std::move(config)) {}
  torch::Tensor operator()(const std::string& id, int64_t frames, const Draw& draw) const;

 private:
  const std::vector<torch::Tensor>& presets() const;  // [N, 37] each

  std::filesystem::path checkpoint_;
  Config config_;
  mutable std::mutex mutex_;
  mutable std::optional<std::vector<torch::Tensor>> presets_;
};

// Of random weights: scales of layers 0.01, every layer's output as large as its input.
CodecEncoder fresh_encoder(const CodecConfig& config, uint64_t seed);

class EncoderStage : public Stage {
 public:
  // Begins with the encoder that is there, else with random weights of the run's seed.
  EncoderStage(const ModelContext& context, const CheckpointRef& checkpoint);

  torch::nn::Module& module() override { return *module_; }
  bool trainable(const std::string&) const override { return true; }
  void require_adaptable() const override;

  // Reads the recording; of a row that has none, or whose `source` is synthetic, the codes.
  std::unique_ptr<Sample> read(const PreparedRow& row) override;
  std::unique_ptr<Sample> random_sample(uint64_t seed) override;
  std::unique_ptr<Batch> collate(std::span<const Sample* const> samples,
                                 const Draw& draw) const override;
  std::vector<LossTerm> loss(const Batch& batch, const LossRequest& request) override;
  void save_beside_adapter(const std::filesystem::path&) override {}
  void save_full(const std::filesystem::path& folder,
                 const std::map<std::string, torch::Tensor>& weights) override;

 private:
  const RunConfig& run_;
  std::filesystem::path folder_;
  Config config_;
  bool fresh_;
  Anchors anchors_;
  CodecEncoder encoder_{nullptr};
  torch::nn::ModuleHolder<ModuleGroupImpl> module_{nullptr};  // audio_tokenizer
  std::unique_ptr<EncoderObjective> objective_;
};

}  // namespace ttsft::voxtral
