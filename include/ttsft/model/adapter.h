// The interface between the engines and a model. One implementation per folder of models/.
#pragma once

#include <torch/torch.h>

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ttsft/config/run_config.h"
#include "ttsft/model/checkpoint_set.h"
#include "ttsft/model/info.h"
#include "ttsft/model/preparer.h"
#include "ttsft/model/stage.h"
#include "ttsft/model/synthesizer.h"
#include "ttsft/model/voices.h"
#include "ttsft/model/write_weights.h"

namespace ttsft {

// Where and how a model's parts are made.
struct ModelContext {
  const RunConfig& config;
  torch::Device device = torch::kCPU;
  torch::Dtype dtype = torch::kFloat32;  // of the language model; codecs are float32
};

class ModelAdapter {
 public:
  virtual ~ModelAdapter() = default;

  virtual const ModelInfo& info() const = 0;
  virtual std::shared_ptr<Section> make_options() const = 0;  // the model's section of the run file
  virtual void preset(RunConfig& config) const = 0;  // its defaults for the common sections
  // Options under which synth speaks in the very layout, and the voice, that train teaches. Nothing
  // to do unless upstream uses its release in another layout, which is then the default.
  virtual void speak_as_trained(RunConfig& /*config*/) const {}
  // Keys of a source row that say that upstream's tools encoded it already: such a row needs no
  // recording.
  virtual std::vector<std::string> encoded_keys() const { return {"audio_codes"}; }

  // "" when the folder is not a checkpoint of this model; else one line about it ("Qwen3-TTS 1.7B
  // Base, 28 layers"). DataError for a release of the family that is not taken, by its name.
  virtual std::string recognise(const std::filesystem::path& folder) const = 0;
  // What the checkpoint in a folder that recognise() knows can be used for, from its small files.
  virtual Abilities abilities(const std::filesystem::path& /*folder*/) const {
    return {.stages = info().stages};
  }
  // The same under a run file, whose options may give a checkpoint what it lacks.
  virtual Abilities abilities_under(const RunConfig& config) const {
    return abilities(config.checkpoint);
  }

  // Voices that data.speaker may name in the weights themselves: of the release, or of a
  // fine-tuning that gave them names.
  virtual std::vector<std::string> named_voices(const RunConfig& /*config*/,
                                                const CheckpointSet& /*checkpoints*/) const {
    return {};
  }
  // How synth speaks with one of several learned voices that the weights have no name for.
  virtual void speak_as(RunConfig& /*config*/, const LearnedVoice& /*voice*/) const {}

  virtual std::unique_ptr<Preparer> make_preparer(const ModelContext& context) const = 0;
  // checkpoint: kBase or kFull; adapters are put on the stage's module by the engine.
  virtual std::unique_ptr<Stage> make_stage(const ModelContext& context,
                                            const CheckpointRef& checkpoint) const = 0;
  // lora_scale counts for all adapters of the set.
  virtual std::unique_ptr<Synthesizer> make_synthesizer(const ModelContext& context,
                                                        const CheckpointSet& checkpoints,
                                                        double lora_scale) const = 0;
  // The complete released layout with the adapters merged. The engine verifies it. Returns what
  // rounding to the release's type did to the merged weights.
  virtual Rounding export_checkpoint(const ModelContext& context, const CheckpointSet& checkpoints,
                                     double lora_scale, const std::filesystem::path& out) const = 0;
};

}  // namespace ttsft
