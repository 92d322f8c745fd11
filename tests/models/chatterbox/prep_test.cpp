// From recordings to clips, as upstream's modules and a community trainer make them.
#include "models/chatterbox/prep.h"

#include <gtest/gtest.h>

#include "models/chatterbox/voice.h"
#include "tests/models/chatterbox/chatterbox_fixture.h"
#include "ttsft/core/error.h"
#include "ttsft/prep/prep.h"

namespace ttsft::chatterbox::test {
namespace {

class Prep : public testing::Test {
 protected:
  Prep() : config_(default_run("chatterbox")) {
    config_.checkpoint = fixture().path("checkpoint");
    config_.run = folder_ / "run";
    config_.device = "cpu";
    config_.data.source = fixture().path("audio/metadata.csv");
    config_.data.prepared = folder_ / "prepared";
    config_.data.speaker = "s";
    config_.data.validation.share = 0;
  }
  Options& options() { return static_cast<Options&>(*config_.model_options); }
  nlohmann::ordered_json prep() { return run_prep(config_, find_model("chatterbox"), {}); }
  PreparedClip clip(const std::string& id) const {
    return read_clip(config_.data.prepared / clip_file(id));
  }

  TemporaryFolder folder_;
  RunConfig config_;
};

TEST_F(Prep, ClipsAreUpstreams) {
  EXPECT_EQ(prep()["train"], 3);
  for (const char* id : {"a", "b", "c"}) {
    const PreparedClip own = clip(id), want = upstream_clip(id);
    expect_equal(own.speech_codes, want.speech_codes, id);
    expect_equal(own.text_ids, want.text_ids, id);
    expect_equal(own.prompt_tokens, want.prompt_tokens, id);
    expect_close(own.speaker_emb, want.speaker_emb, 1e-4, id);
    expect_equal(own.cond_prompt_speech_tokens, want.cond_prompt_speech_tokens, id);
  }
  const auto rows = PreparedSet::open(config_.data.prepared, "chatterbox").all();
  EXPECT_EQ(rows[0].row["labels"]["speech"], 31);
  EXPECT_EQ(rows[0].row["labels"]["text"], 10);
}

TEST_F(Prep, WritesAndReadsTheCommunitysCache) {
  options().write_cache = true;
  prep();
  const std::filesystem::path cache = config_.data.prepared / "cache";
  EXPECT_TRUE(std::filesystem::exists(cache / "b.pt"));

  config_.data.source = cache;
  config_.data.prepared = folder_ / "again";
  EXPECT_EQ(prep()["train"], 3);
  for (const char* id : {"a", "b", "c"})
    expect_equal(clip(id).speech_codes, upstream_clip(id).speech_codes, id);
  EXPECT_FALSE(std::filesystem::exists(config_.data.prepared / "conds.pt"))
      << "no recording, no voice";
}

TEST_F(Prep, AClipThatWasRemovedIsMadeAnew) {
  prep();
  EXPECT_EQ(prep()["reused"], 3);
  std::filesystem::remove(config_.data.prepared / clip_file("b"));
  const auto again = prep();
  EXPECT_EQ(again["reused"], 2);
  EXPECT_EQ(again["encoded"], 1);
  expect_equal(clip("b").speech_codes, upstream_clip("b").speech_codes);
}

TEST_F(Prep, VoiceOfTheReferenceIsUpstreams) {
  config_.data.reference = fixture().path("audio/ref.wav");
  prep();
  const Voice own = read_voice(config_.data.prepared / kVoiceFile);
  const Voice want = read_voice(fixture().path("checkpoint/conds.pt"));
  expect_close(own.t3.speaker, want.t3.speaker, 1e-3, "speaker");
  expect_close(own.gen.embedding, want.gen.embedding, 1e-3, "x-vector");
  expect_close(own.gen.prompt_feat, want.gen.prompt_feat, 1e-3, "mel");
  expect_equal(own.t3.prompt, want.t3.prompt, "prompt of T3");
  expect_equal(own.gen.prompt_token, want.gen.prompt_token, "prompt of the flow");
}

TEST_F(Prep, ConditionFromARecordingIsKeptForTraining) {
  options().condition.kind = ConditionChoice::Kind::kFile;
  options().condition.file = fixture().path("audio/ref.wav");
  prep();
  const Condition condition =
      read_condition(config_.data.prepared / "condition.safetensors", options().condition.file);
  expect_equal(condition.prompt,
               upstream("prep", "ref.t3.cond_prompt_speech_tokens").squeeze(0).to(torch::kInt64));
}

TEST_F(Prep, WhatTrainCannotUseIsRefusedWithItsReason) {
  std::filesystem::create_directories(folder_ / "set");
  for (const char* id : {"a", "b"})
    std::filesystem::copy_file(fixture().path("audio/" + std::string(id) + ".wav"),
                               folder_ / ("set/" + std::string(id) + ".wav"));
  folder_.write("set/a.txt", "He was not an.");
  folder_.write("set/b.txt", "\xD0\x9F\xD1\x80\xD0\xB8\xD0\xB2\xD0\xB5\xD1\x82");  // Cyrillic
  config_.data.source = folder_ / "set";
  EXPECT_EQ(prep()["rejected"], 1);
  std::string text;
  for (int i = 0; i < 60; ++i) text += "zq ";
  folder_.write("set/b.txt", text);
  EXPECT_EQ(prep()["rejected"], 1) << "more text than the model has places for";
}

}  // namespace
}  // namespace ttsft::chatterbox::test
