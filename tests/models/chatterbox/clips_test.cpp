// Prepared clips and the community's cache.
#include "models/chatterbox/clips.h"

#include <gtest/gtest.h>

#include "tests/models/chatterbox/chatterbox_fixture.h"
#include "ttsft/core/error.h"
#include "ttsft/core/hash.h"
#include "ttsft/io/torch_file.h"

namespace ttsft::chatterbox::test {
namespace {

T3Config config() {
  return read_config(fixture().path("checkpoint")).t3;
}

void expect_same(const PreparedClip& a, const PreparedClip& b, const std::string& id) {
  expect_equal(a.speech_codes, b.speech_codes, id);
  expect_equal(a.text_ids, b.text_ids, id);
  expect_equal(a.speaker_emb, b.speaker_emb, id);
  expect_equal(a.prompt_tokens, b.prompt_tokens, id);
  expect_equal(a.cond_prompt_speech_tokens, b.cond_prompt_speech_tokens, id);
}

TEST(Clips, RoundTrip) {
  const TemporaryFolder folder;
  for (const char* id : {"a", "b", "c"}) {
    write_clip(folder / "clip.safetensors", upstream_clip(id));
    expect_same(read_clip(folder / "clip.safetensors"), upstream_clip(id), id);
  }
  EXPECT_THROW(read_clip(folder / "gone.safetensors"), DataError);
}

TEST(Clips, CacheOfACommunityTrainerIsRead) {
  for (const std::string id : {"a", "b", "c"}) {
    const PreparedClip clip =
        read_cache(fixture().path("expected/prep_pt/" + id + ".pt"), config());
    PreparedClip want = upstream_clip(id);
    // The cache has none of its own: the first codes stand in.
    want.cond_prompt_speech_tokens = want.speech_codes.slice(0, 0, 30);
    expect_same(clip, want, id);
  }
}

TEST(Clips, CacheIsWrittenAsTheCommunityDoes) {
  const TemporaryFolder folder;
  for (const std::string id : {"a", "b", "c"}) {
    write_cache(folder / "own.pt", upstream_clip(id));
    const auto own = TorchFile::open(folder / "own.pt");
    const auto theirs = TorchFile::open(fixture().path("expected/prep_pt/" + id + ".pt"));
    ASSERT_EQ(own->tensors().size(), theirs->tensors().size());
    for (const TensorView& view : theirs->tensors()) {
      const TensorView& other = own->at(view.name);
      EXPECT_EQ(other.dtype, view.dtype) << view.name;
      expect_equal(copy_tensor(other), copy_tensor(view), view.name);
    }
  }
}

TEST(Clips, StartAndStopAreTakenOffWhereTheyAre) {
  const TemporaryFolder folder;
  PreparedClip clip = upstream_clip("a");
  clip.speech_codes = torch::cat({torch::tensor({kStartSpeech}), clip.speech_codes});
  write_cache(folder / "own.pt", clip);
  expect_equal(read_cache(folder / "own.pt", config()).speech_codes,
               upstream_clip("a").speech_codes);
}

TEST(Clips, WhatTheModelCannotTakeIsNamed) {
  const auto failure = [](const PreparedClip& clip) -> std::string {
    try {
      check_clip(clip, config(), "utterance x");
    } catch (const DataError& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(failure(upstream_clip("a")), "");
  PreparedClip clip = upstream_clip("a");
  clip.speech_codes = torch::empty({0}, torch::kInt64);
  EXPECT_NE(failure(clip).find("no speech codes"), std::string::npos);
  clip = upstream_clip("a");
  clip.speech_codes[3] = 6561;
  EXPECT_NE(failure(clip).find("6561"), std::string::npos) << failure(clip);
  clip = upstream_clip("a");
  clip.text_ids[0] = 300;
  EXPECT_NE(failure(clip).find("text id 300"), std::string::npos) << failure(clip);
  clip = upstream_clip("a");
  clip.speaker_emb = torch::zeros({7});
  EXPECT_NE(failure(clip).find("7 values"), std::string::npos) << failure(clip);
  clip = upstream_clip("a");
  clip.speaker_emb[0] = NAN;
  EXPECT_NE(failure(clip).find("not finite"), std::string::npos) << failure(clip);
  clip = upstream_clip("a");
  clip.text_ids = torch::ones({95}, torch::kInt64);
  EXPECT_NE(failure(clip).find("95 text ids"), std::string::npos) << failure(clip);
}

TEST(Clips, FileNamesHoldAnyId) {
  EXPECT_EQ(clip_file("a-1.b"), "clips/a-1.b.safetensors");
  EXPECT_EQ(clip_file("speaker/one two"), "clips/speaker%2Fone%20two.safetensors");
  EXPECT_EQ(clip_file("../x"), "clips/%2E.%2Fx.safetensors");
}

TEST(Clips, AnotherClipIsNeverTheClipItself) {
  const ClipList<std::string> clips = {"a", "b", "c", "d"};
  std::set<std::string> chosen;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const std::string other = choose_other(clips, "b", seed);
    EXPECT_NE(other, "b");
    EXPECT_EQ(other, choose_other(clips, "b", seed)) << "deterministic";
    chosen.insert(other);
  }
  EXPECT_EQ(chosen.size(), 3u) << "every other clip has its turn";
  EXPECT_EQ(choose_other({"b"}, "b", 1), "");
}

TEST(Clips, ConditionOfAnotherRecordingIsRefused) {
  const TemporaryFolder folder;
  const Condition condition{torch::rand({24}), torch::arange(30)};
  const auto recording = fixture().path("audio/a.wav");
  write_condition(folder / "condition.safetensors", condition, hash_file(recording));
  const Condition read = read_condition(folder / "condition.safetensors", recording);
  expect_equal(read.speaker, condition.speaker);
  expect_equal(read.prompt, condition.prompt);
  EXPECT_THROW(read_condition(folder / "condition.safetensors", fixture().path("audio/b.wav")),
               DataError);
  EXPECT_THROW(read_condition(folder / "gone", recording), DataError);
}

TEST(Conditions, OtherSelfAndFile) {
  PreparedRun run;
  const auto condition = [&run] {
    const auto stage = run.stage();
    const auto samples = run.samples(*stage);
    return static_cast<const SpeechSample&>(*samples[0]).condition;
  };
  expect_equal(condition().prompt, upstream_clip("a").prompt_tokens, "self");
  run.options().condition.kind = ConditionChoice::Kind::kOther;
  const std::string other =
      choose_other({"a", "b", "c"}, "a", static_cast<uint64_t>(run.config.seed));
  expect_equal(condition().prompt, upstream_clip(other).cond_prompt_speech_tokens, "other");
  expect_equal(condition().speaker, upstream_clip(other).speaker_emb, "other");
  run.options().condition.kind = ConditionChoice::Kind::kFile;
  run.options().condition.file = fixture().path("audio/ref.wav");
  EXPECT_THROW(condition(), DataError) << "prep has not heard it";
}

}  // namespace
}  // namespace ttsft::chatterbox::test
