// What the adapters of all models have in common: facts that do not change, and parts that their
// constructors make.
#pragma once

#include <memory>
#include <type_traits>
#include <utility>

#include "ttsft/model/adapter.h"

namespace ttsft {

// Options is a Section; ThePreparer is made of (context), TheStage of (context, checkpoint) and
// TheSynthesizer of (context, checkpoints, lora_scale), or of the checkpoint of the stage lm alone.
// A model with more stages overrides make_stage.
template <class Options, class ThePreparer, class TheStage, class TheSynthesizer>
class BasicAdapter : public ModelAdapter {
 public:
  explicit BasicAdapter(ModelInfo info) : info_(std::move(info)) {}

  const ModelInfo& info() const override { return info_; }

  std::shared_ptr<Section> make_options() const override { return std::make_shared<Options>(); }

  std::unique_ptr<Preparer> make_preparer(const ModelContext& context) const override {
    return std::make_unique<ThePreparer>(context);
  }

  std::unique_ptr<Stage> make_stage(const ModelContext& context,
                                    const CheckpointRef& checkpoint) const override {
    return std::make_unique<TheStage>(context, checkpoint);
  }

  std::unique_ptr<Synthesizer> make_synthesizer(const ModelContext& context,
                                                const CheckpointSet& checkpoints,
                                                double lora_scale) const override {
    if constexpr (std::is_constructible_v<TheSynthesizer, const ModelContext&, const CheckpointSet&,
                                          double>) {
      return std::make_unique<TheSynthesizer>(context, checkpoints, lora_scale);
    } else {
      return std::make_unique<TheSynthesizer>(context, checkpoints.of("lm"), lora_scale);
    }
  }

 protected:
  static Options& options_of(RunConfig& config) {
    return static_cast<Options&>(*config.model_options);
  }
  static const Options& options_of(const RunConfig& config) {
    return static_cast<const Options&>(*config.model_options);
  }

 private:
  ModelInfo info_;
};

}  // namespace ttsft
