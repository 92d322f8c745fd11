// Everything that the tests of one model share, made once per model: a tiny random checkpoint
// (models/<folder>/fixture), a prepared set of two short clips of real speech, and runs that
// learned them by heart. A checkpoint without an encoder gets rows of random codes.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "tests/support/temporary_folder.h"
#include "tests/support/test_device.h"
#include "ttsft/audio/audio.h"
#include "ttsft/data/prepared_set.h"
#include "ttsft/model/fixture.h"
#include "ttsft/model/language_stage.h"
#include "ttsft/model/load_stage.h"
#include "ttsft/model/registry.h"
#include "ttsft/nn/lora.h"
#include "ttsft/prep/prep.h"
#include "ttsft/train/train.h"

namespace ttsft {

inline constexpr double kClipSeconds = 1.2;

struct Clip {
  const char* file;
  const char* text;
};
inline constexpr Clip kClips[] = {{"austen-0880", "he was not an ill disposed"},
                                  {"austen-0930", "had he married a more"}};

class World {
 public:
  explicit World(const ModelAdapter& model)
      : adapter(model), config(default_run(model.info().name)) {
    write_fixture(fixture_files(adapter.info().folder, FixtureSize::kTiny), folder / "checkpoint",
                  1);
    config.checkpoint = folder / "checkpoint";
    const bool encodes = adapter.abilities(config.checkpoint).encode_audio;
    for (const Clip& clip : kClips) {
      AudioFile file = decode_audio(std::filesystem::path(TTSFT_FIXTURES) / "austen/wavs" /
                                    (std::string(clip.file) + ".wav"));
      file.audio.samples.resize(static_cast<size_t>(kClipSeconds * file.audio.sample_rate));
      std::filesystem::create_directories(folder / "clips");
      write_wav(folder / ("clips/" + std::string(clip.file) + ".wav"), file.audio.samples,
                file.audio.sample_rate);
      folder.write("clips/" + std::string(clip.file) + ".txt", clip.text);
    }
    config.run = folder / "run";
    config.device = test::test_device_name();
    config.precision = "fp32";
    config.data.source = encodes ? folder / "clips" : write_codes();
    config.data.prepared = folder / "prepared";
    config.data.reference = folder / "clips/austen-0880.wav";
    config.data.speaker = "austen";
    config.data.validation.share = 0;
    config.train.steps = 60;  // the loss is below 0.01 after 40
    config.train.epochs.reset();
    config.train.batch_utterances = 2;
    config.train.batch_tokens.reset();
    config.train.shuffle = false;
    config.train.optimizer.learning_rate = 3e-3;
    config.train.optimizer.weight_decay = 0;
    config.train.checkpoint_every = 0;  // at the end only
    config.train.validate_every = 0;
    config.accept_license = adapter.info().license.accept;
    adapter.speak_as_trained(config);
    run_prep(config, adapter, {});
  }

  ModelContext context() const { return make_context(config); }
  CheckpointRef base() const { return {"base", config.checkpoint, CheckpointKind::kBase}; }

  // The run file for another stage.
  RunConfig run_of(const std::string& stage) const {
    RunConfig run = config;
    run.train.stage = stage;
    run.train.method = "full";
    if (stage == "lm" && regresses()) {
      // A flow comes near its values slowly, and only where its steps become small.
      run.train.steps = 1000;
      run.train.optimizer.learning_rate = 2e-3;
      run.train.schedule.name = "cosine";
    }
    run.run = folder / ("memorised-" + stage);
    return run;
  }

  // Full fine-tuning until the two clips are known by heart; trained once.
  CheckpointRef memorised(const std::string& stage = "lm") {
    CheckpointRef& checkpoint = memorised_[stage];
    if (checkpoint.folder.empty()) {
      const RunConfig run = run_of(stage);
      run_train(run, adapter, {});
      checkpoint = resolve_checkpoint(run, "last");
    }
    return checkpoint;
  }

  // An adapter of random A and B: a trained one, as far as loading and merging are concerned.
  std::filesystem::path random_adapter(const std::string& name = "lm") {
    const std::filesystem::path path = folder / ("adapter-" + name);
    if (std::filesystem::exists(path)) return path;
    const RunConfig of_stage = run_of(name);
    auto stage = adapter.make_stage(make_context(of_stage), base());
    PeftConfig peft;
    peft.r = 4;
    peft.lora_alpha = 8;
    peft.target_modules.endings = lora_targets(of_stage, adapter.info()).endings;
    if (peft.target_modules.endings.empty())
      peft.target_modules.endings = adapter.info().lora_targets;
    LoraSet set = LoraSet::create(select_sites(adapter_sites(stage->module()), peft.target_modules),
                                  peft, test::test_device(), 3);
    torch::manual_seed(4);
    for (const auto& [parameter, tensor] : set.parameters()) torch::Tensor(tensor).normal_(0, 0.1);
    std::filesystem::create_directories(path);
    save_adapter(set, path);
    return path;
  }

  const ModelAdapter& adapter;
  TemporaryFolder folder;
  RunConfig config;

 private:
  // Whether a loss of the language model is none of tokens.
  bool regresses() const {
    const torch::NoGradGuard no_grad;
    const auto stage = adapter.make_stage(context(), base());
    const auto sample = stage->random_sample(1);
    const Sample* row = sample.get();
    const auto terms = stage->loss(*stage->make_batch(std::span(&row, 1), {}), {.accuracy = true});
    return std::any_of(terms.begin(), terms.end(),
                       [](const LossTerm& term) { return !term.correct.defined(); });
  }

  // For a checkpoint that encodes no recordings: rows that bring random codes.
  std::filesystem::path write_codes() {
    auto stage = adapter.make_stage(context(), base());
    std::string rows;
    for (const Clip& clip : kClips) {
      const auto sample = stage->random_sample(static_cast<uint64_t>(rows.size()) + 1);
      const torch::Tensor codes = dynamic_cast<LanguageStage&>(*stage).target_codes(*sample);
      nlohmann::ordered_json row = {{"id", clip.file}, {"text", clip.text}};
      for (int64_t f = 0; f < codes.size(0); ++f) {
        const torch::Tensor frame = codes[f].contiguous();
        row[adapter.encoded_keys().front()].push_back(std::vector<int64_t>(
            frame.data_ptr<int64_t>(), frame.data_ptr<int64_t>() + frame.numel()));
      }
      rows += row.dump() + "\n";
    }
    folder.write("codes.jsonl", rows);
    return folder / "codes.jsonl";
  }

  std::map<std::string, CheckpointRef> memorised_;  // by stage
};

inline World& world_of(const ModelAdapter& adapter) {
  static std::map<std::string, std::unique_ptr<World>> worlds;
  auto& world = worlds[adapter.info().name];
  if (!world) world = std::make_unique<World>(adapter);
  return *world;
}

inline std::string test_name(const testing::TestParamInfo<const ModelAdapter*>& info) {
  return info.param->info().folder;
}

}  // namespace ttsft
