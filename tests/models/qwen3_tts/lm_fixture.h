// The language-model side of the fixture: run configuration, stage and the prepared rows upstream
// trained on.
#pragma once

#include <filesystem>
#include <fstream>
#include <memory>
#include <vector>

#include "models/qwen3_tts/options.h"
#include "models/qwen3_tts/stage.h"
#include "tests/models/qwen3_tts/fixture.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/test_device.h"
#include "ttsft/model/registry.h"

namespace ttsft::qwen3_tts::test {

// A stage on the fixture's checkpoint with the speaker vector upstream computed, in a folder of its
// own.
class LmFixture {
 public:
  explicit LmFixture(const std::filesystem::path& checkpoint = fixture_path("checkpoint"),
                     torch::Dtype dtype = torch::kFloat32)
      : config(default_run("qwen3-tts")) {
    config.checkpoint = checkpoint;
    config.run = folder.path() / "run";
    config.data.prepared = folder.path() / "prepared";
    config.data.speaker = "speaker_test";
    std::filesystem::create_directories(config.data.prepared);
    save_speakers(config.data.prepared / "speakers.safetensors",
                  {{"speaker_test", expected_tensor("prep", "speaker_embedding.ref")}});
    stage = std::make_unique<LmStage>(ModelContext{config, ttsft::test::test_device(), dtype},
                                      CheckpointRef{"base", checkpoint});
    std::ifstream in(fixture_path("expected/prep_out.jsonl"));
    for (std::string line; std::getline(in, line);) {
      PreparedRow row;
      row.row = nlohmann::ordered_json::parse(line);
      row.id = std::filesystem::path(row.row["audio"].get<std::string>()).stem().string();
      samples.push_back(stage->read(row));
    }
  }

  Options& options() { return static_cast<Options&>(*config.model_options); }

  std::unique_ptr<Batch> batch(const std::vector<size_t>& which) const {
    std::vector<const Sample*> rows;
    for (size_t i : which) rows.push_back(samples[i].get());
    return stage->make_batch(rows, {});
  }

  TemporaryFolder folder;
  RunConfig config;
  std::unique_ptr<LmStage> stage;
  std::vector<std::unique_ptr<Sample>> samples;  // a, b, c
};

}  // namespace ttsft::qwen3_tts::test
