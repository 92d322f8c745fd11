// The toy behind the interface that the engines know.
#include "tests/toy/synth.h"
#include "ttsft/core/error.h"
#include "ttsft/model/basic_adapter.h"
#include "ttsft/model/fixture_list.h"
#include "ttsft/model/merge_adapter.h"
#include "ttsft/model/recording_preparer.h"

namespace ttsft::toy {
namespace {

struct Options : Section {
  void bind(Binder&) override {}
};

// There is no encoder: a row brings its codes.
class Preparer : public RecordingPreparer {
 public:
  explicit Preparer(const ModelContext& context) : RecordingPreparer(context, 30) {
    fingerprint_ = "toy row 1";
  }
  AudioLimits limits() const override { return {.sample_rate = kRate}; }
  bool needs_audio(const Utterance&) const override { return false; }
  void load(PrepItem&) const override {}
  nlohmann::ordered_json finish(const KeptSet&, const std::filesystem::path&) override {
    return {};
  }

 protected:
  void encode_recordings(std::span<PrepItem* const>) override {}
  void take_encoded(PrepItem& item) override {
    item.row = item.utterance->row;
    item.seconds =
        static_cast<double>(read_codes(item.row, item.utterance->where).size(0)) / kFramesPerSecond;
  }
};

ModelInfo make_info() {
  ModelInfo i;
  i.name = "toy";
  i.folder = "toy";
  i.title = "Toy";
  i.paradigm = "autoregressive frames of six codes, flow matching to sound";
  i.rates = {kRate, kRate, 0, kFramesPerSecond};
  i.license = {"CC0-1.0", true, ""};
  i.stages = {"lm", "flow"};
  i.stage_modules = {{"lm", {"layers.", "depth.", "head", "level_head."}},
                     {"flow", {"in", "hidden", "out"}}};
  i.lora_targets = {"q_proj", "v_proj"};
  i.stage_lora_targets = {{"flow", {"hidden", "in"}}};
  i.releases = {"toy"};
  return i;
}

using Adapter = BasicAdapter<Options, Preparer, LmStage, SpeechSynthesizer>;

class ToyAdapter : public Adapter {
 public:
  ToyAdapter() : Adapter(make_info()) {}

  void preset(RunConfig& config) const override {
    config.lora.targets.endings = info().lora_targets;
    config.synth.max_frames = 200;
  }
  std::vector<std::string> encoded_keys() const override { return {"codes"}; }
  std::string recognise(const std::filesystem::path& folder) const override {
    return std::filesystem::exists(folder / kLmFile) && std::filesystem::exists(folder / kFlowFile)
               ? "Toy"
               : "";
  }
  Abilities abilities(const std::filesystem::path&) const override {
    return {.encode_audio = false,
            .clone = false,
            .stream = false,
            .stages = info().stages,
            .why_not = "the toy has no encoder"};
  }
  std::unique_ptr<Stage> make_stage(const ModelContext& context,
                                    const CheckpointRef& checkpoint) const override {
    if (context.config.train.stage == "flow")
      return std::make_unique<FlowStage>(context, checkpoint);
    return Adapter::make_stage(context, checkpoint);
  }

  // Each file from the checkpoint of its stage.
  Rounding export_checkpoint(const ModelContext& context, const CheckpointSet& checkpoints,
                             double lora_scale, const std::filesystem::path& out) const override {
    const torch::InferenceMode inference;
    Rounding rounding;
    const auto write = [&](const char* stage, const char* file, torch::nn::Module& module) {
      const CheckpointRef& own = checkpoints.of(stage);
      write_release(base_folder(context.config, own), out, file,
                    merged_weights(module, own, lora_scale, context.device), &rounding);
    };
    const auto folder = [&](const char* stage) {
      return base_folder(context.config, checkpoints.of(stage));
    };
    write("lm", kLmFile, *load_lm(folder("lm"), torch::kCPU, torch::kFloat32));
    write("flow", kFlowFile, *load_flow(folder("flow"), torch::kCPU, torch::kFloat32));
    return rounding;
  }
};

std::vector<FixtureTensor> tensors_of(torch::nn::Module& module) {
  FixtureList list(DType::kF32);
  for (const auto& item : module.named_parameters()) {
    const Shape shape = item.value().sizes().vec();
    const bool is_norm = item.key().ends_with("norm.weight");
    list.add(item.key(), shape, is_norm ? FixtureList::Fill::kOne : FixtureList::Fill::kNormal,
             shape.size() == 2 ? 1 / std::sqrt(static_cast<double>(shape[1])) : 0.02);
  }
  return list.tensors;
}

}  // namespace

std::unique_ptr<ModelAdapter> make_adapter() {
  return std::make_unique<ToyAdapter>();
}

std::vector<FixtureFile> fixture_files(FixtureSize) {
  return {{kLmFile, tensors_of(*Lm()), ""}, {kFlowFile, tensors_of(*Flow()), ""}};
}

}  // namespace ttsft::toy
