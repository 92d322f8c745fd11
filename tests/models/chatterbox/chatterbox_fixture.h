// The Chatterbox fixture, and T3 with the clips that upstream prepared.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "models/chatterbox/clips.h"
#include "models/chatterbox/stage.h"
#include "tests/support/model_fixture.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/test_device.h"
#include "ttsft/model/load_stage.h"
#include "ttsft/model/registry.h"

namespace ttsft::chatterbox::test {

using ttsft::test::expect_close;
using ttsft::test::expect_equal;

inline const ttsft::test::ModelFixture& fixture() {
  static const ttsft::test::ModelFixture fixture("chatterbox");
  return fixture;
}

inline torch::Tensor upstream(const std::string& file, const std::string& name) {
  return fixture().expected(file, name);
}

// Clip a, b or c as upstream prepared it.
inline PreparedClip upstream_clip(const std::string& id) {
  const torch::Tensor codes = upstream("prep", id + ".speech_codes").to(torch::kInt64);
  return {codes, upstream("prep", id + ".text_ids").to(torch::kInt64),
          upstream("prep", id + ".speaker_emb"),
          upstream("prep", id + ".prompt_tokens_3s_padded_audio").to(torch::kInt64),
          // Upstream pads a shorter prompt with code 0.
          upstream("prep", id + ".prompt_tokens_maxlen_zero_padded")
              .slice(0, 0, codes.size(0))
              .to(torch::kInt64)};
}

// A run on the fixture's checkpoint whose prepared set holds upstream's clips, conditioned on
// themselves.
class PreparedRun {
 public:
  PreparedRun() : config(default_run("chatterbox")) {
    config.checkpoint = fixture().path("checkpoint");
    config.run = folder / "run";
    config.device = ttsft::test::test_device_name();
    config.precision = "fp32";
    config.data.prepared = folder / "prepared";
    config.data.speaker = "s";
    config.data.validation.share = 0;
    options().condition.kind = ConditionChoice::Kind::kSelf;
    PreparedWriter writer(config.data.prepared, "chatterbox");
    for (const char* id : {"a", "b", "c"}) {
      write_clip(config.data.prepared / clip_file(id), upstream_clip(id));
      writer.add({id, id, 1.0, {{"id", id}, {"speaker", "s"}}, {}});
    }
    write_speakers(config.data.prepared / "speakers.json", {{"s", {"a", "b", "c"}}});
    writer.finish({"a", "b", "c"}, {}, {}, {{"validation", {{"share", 0.0}}}});
  }

  Options& options() { return static_cast<Options&>(*config.model_options); }
  CheckpointRef base() const { return {"base", config.checkpoint, CheckpointKind::kBase}; }
  std::unique_ptr<LmStage> stage() const {
    auto made = std::make_unique<LmStage>(make_context(config), base());
    made->module().eval();
    return made;
  }
  std::vector<std::unique_ptr<Sample>> samples(LmStage& stage) const {
    std::vector<std::unique_ptr<Sample>> all;
    for (const PreparedRow& row : PreparedSet::open(config.data.prepared, "chatterbox").all())
      all.push_back(stage.read(row));
    return all;
  }

  TemporaryFolder folder;
  RunConfig config;
};

inline std::vector<const Sample*> pointers(const std::vector<std::unique_ptr<Sample>>& samples) {
  std::vector<const Sample*> rows;
  for (const auto& sample : samples) rows.push_back(sample.get());
  return rows;
}

}  // namespace ttsft::chatterbox::test
