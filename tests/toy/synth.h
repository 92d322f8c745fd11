// Text to codes to sound.
#pragma once

#include "tests/toy/stage.h"
#include "ttsft/model/depth_head.h"
#include "ttsft/model/synthesizer.h"

namespace ttsft::toy {

class ToyLm : public SpeechLm, private DepthModel {
 public:
  ToyLm(Lm lm, torch::TensorOptions options) : lm_(std::move(lm)), options_(options) {}
  void set_sampling(const SamplingOptions& sampling) {
    head_.emplace(static_cast<DepthModel&>(*this), sampling);
  }

  RowPrompt prompt(const std::string& text, uint64_t seed);
  KvCache make_cache(int64_t rows, int64_t capacity) const override;
  torch::Tensor forward(const torch::Tensor& x, KvCache& cache) override;
  torch::Tensor norm(const torch::Tensor& hidden) override { return lm_->norm(hidden); }
  torch::Tensor logits(const torch::Tensor& state) override;
  torch::Tensor embed(const torch::Tensor& frame, const torch::Tensor&) override {
    return lm_->frames(frame);
  }
  FrameHead* head() override { return &head_.value(); }

 private:
  int64_t levels() const override { return kLevels; }
  int64_t vocabulary() const override { return kCodes; }
  KvCache make_cache(int64_t rows) const override;
  torch::Tensor start(const torch::Tensor& state, const torch::Tensor& first) override;
  torch::Tensor embed(int64_t level, const torch::Tensor& codes) override;
  torch::Tensor depth(const torch::Tensor& x, KvCache& cache) override;
  torch::Tensor logits(int64_t level, const torch::Tensor& hidden) override;

  Lm lm_;
  torch::TensorOptions options_;
  std::optional<DepthHead> head_;
};

// Rows of a batch end to end: a frame knows nothing of its neighbours.
class Acoustic : public AcousticDecoder {
 public:
  Acoustic(Flow flow, torch::Device device) : flow_(std::move(flow)), device_(device) {}
  int sample_rate() const override { return kRate; }
  std::vector<torch::Tensor> decode(std::span<const AcousticRow> rows) override;

 private:
  Flow flow_;
  torch::Device device_;
};

class SpeechSynthesizer : public Synthesizer {
 public:
  SpeechSynthesizer(const ModelContext& context, const CheckpointSet& checkpoints,
                    double lora_scale);

  std::vector<std::string> segments(const std::string& text) const override { return {text}; }
  void load() override;
  SpeechLm& language_model() override { return *lm_; }
  torch::TensorOptions tensor_options() const override;
  DecodingPlan plan(const DecodeOptions& options) override;
  RowPrompt prompt(const std::string& segment, uint64_t seed,
                   std::span<const SpokenSegment> earlier) override;
  AcousticDecoder& acoustic() override { return *acoustic_; }

 private:
  ModelContext context_;
  CheckpointRef checkpoint_;  // of the stage lm
  double lora_scale_;
  std::unique_ptr<ToyLm> lm_;
  std::unique_ptr<Acoustic> acoustic_;
};

}  // namespace ttsft::toy
