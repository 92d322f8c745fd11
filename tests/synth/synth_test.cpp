#include "ttsft/synth/synth.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

#include "src/synth/tensor_files.h"
#include "support/temporary_folder.h"
#include "support/toy_synthesizer.h"
#include "ttsft/core/error.h"
#include "ttsft/core/signals.h"
#include "ttsft/io/peft.h"
#include "ttsft/nn/precision.h"
#include "ttsft/nn/weights.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Synth : ::testing::Test {
  Synth() {
    test::write_toy_checkpoint(folder / "base");
    config.model = "toy";
    config.checkpoint = folder / "base";
    config.run = folder / "run";
    config.device = "cpu";
    config.synth.format = "float32";
    options.out = folder / "a.wav";
    options.codes_out = folder / "a.safetensors";
    options.greedy = true;
  }

  nlohmann::ordered_json say(const std::string& text) {
    options.text = text;
    return run_synth(config, adapter, options);
  }
  nlohmann::ordered_json say_lines(const std::string& lines, const std::string& out = "many") {
    options.text.reset();
    options.texts = folder.write("texts.txt", lines);
    options.out = folder / out;
    options.codes_out = folder / out;
    return run_synth(config, adapter, options);
  }
  std::vector<int64_t> codes(const std::string& name = "a.safetensors") {  // of the first codebook
    const torch::Tensor all = read_codes(folder / name).select(1, 0).contiguous();
    return {all.data_ptr<int64_t>(), all.data_ptr<int64_t>() + all.numel()};
  }
  std::vector<float> wave(const std::string& name = "a.wav") {
    return decode_audio(folder / name).audio.samples;
  }
  // Nothing but the inputs: no half-written file.
  bool is_clean() {
    for (const auto& entry : fs::recursive_directory_iterator(folder.path())) {
      const std::string file = entry.path().filename().string();
      if (file.find("partial") != std::string::npos || entry.path().extension() == ".wav") {
        return false;
      }
    }
    return true;
  }

  TemporaryFolder folder;
  RunConfig config;
  test::SpeakingToyAdapter adapter;
  SynthOptions options;
};

TEST_F(Synth, SaysATextToItsEnd) {
  const auto result = say("abc");
  EXPECT_THAT(codes(), ElementsAre('a', 'b', 'c'));
  EXPECT_EQ(wave().size(), 3 * test::kToySamples);
  EXPECT_FLOAT_EQ(wave()[4], ('b' + 1) / 1000.f);
  EXPECT_EQ(adapter.record->steps, 4);  // the end is chosen too
  EXPECT_EQ(result.at("out"), (folder / "a.wav").string());
  EXPECT_EQ(result.at("frames"), 3);
  EXPECT_EQ(result.at("segments"), 1);
  EXPECT_EQ(result.at("seconds"), 0.012);
  EXPECT_EQ(result.at("sample_rate"), test::kToyRate);
  EXPECT_EQ(result.at("reached_limit"), false);
  EXPECT_EQ(result.at("checkpoint"), "base");
  EXPECT_TRUE(result.at("lora_scale").is_null());
  EXPECT_GT(result.at("rtf").get<double>(), 0);
  EXPECT_FALSE(result.contains("texts"));
  EXPECT_THAT(describe_synth(result), HasSubstr("0.01 s of audio, 3 frames"));
}

// TF32, which only shows on a GPU, is decided for the process: so it can be asked anywhere.
TEST_F(Synth, TheAcousticPartIsFastInBf16AndAllElseIsExact) {
  for (const bool stream : {false, true}) {
    for (const torch::Dtype dtype : {torch::kFloat32, torch::kBFloat16}) {
      const Float32 acoustic = dtype == torch::kBFloat16 ? Float32::kFast : Float32::kExact;
      at::globalContext().setAllowTF32CuDNN(true);  // LibTorch's own state, neither of the two
      int made = 0, steps = 0, decoded = 0;
      adapter.record->dtype = dtype;
      adapter.record->on_made = [&] { made += float32_is(Float32::kExact); };
      adapter.record->on_step = [&] { steps += float32_is(Float32::kExact); };
      adapter.record->on_acoustic = [&] {
        EXPECT_TRUE(float32_is(acoustic));
        ++decoded;
      };
      adapter.record->steps = 0;
      options.stream = stream;
      say("abc");
      EXPECT_EQ(made, 1);
      EXPECT_EQ(steps, adapter.record->steps);
      EXPECT_GT(decoded, 0);
      EXPECT_FALSE(float32_is(Float32::kExact)) << "put back";
    }
  }
}

TEST_F(Synth, GivenCodesAreDecodedFastInBf16) {
  say("abc");
  options.text.reset();
  options.codes_out.clear();
  options.codes_in = folder / "a.safetensors";
  adapter.record->dtype = torch::kBFloat16;
  bool fast = false;
  adapter.record->on_acoustic = [&] { fast = float32_is(Float32::kFast); };
  run_synth(config, adapter, options);
  EXPECT_TRUE(fast);
  EXPECT_FALSE(float32_is(Float32::kFast));
}

TEST_F(Synth, StopsAtTheLimit) {
  options.max_frames = 2;
  const auto result = say("abc");
  EXPECT_THAT(codes(), ElementsAre('a', 'b'));
  EXPECT_EQ(result.at("reached_limit"), true);
  EXPECT_THAT(describe_synth(result), HasSubstr("stopped at the limit"));
  options.max_frames = 4;
  EXPECT_EQ(say("abc").at("reached_limit"), false);
  options.max_frames.reset();
  config.synth.max_frames = 1;
  EXPECT_EQ(say("abc").at("frames"), 1);
}

TEST_F(Synth, SegmentsAreJoinedWithAPause) {
  const auto result = say("ab. c");
  EXPECT_EQ(result.at("segments"), 2);
  EXPECT_THAT(codes(), ElementsAre('a', 'b', 'c'));
  const auto samples = wave();
  ASSERT_EQ(samples.size(), 8U + 200U + 4U);
  EXPECT_EQ(samples[8], 0.f);
  EXPECT_EQ(samples[207], 0.f);
  EXPECT_FLOAT_EQ(samples[208], 'c' / 1000.f);
}

TEST_F(Synth, LimitHoldsForEachSegment) {
  options.max_frames = 2;
  const auto result = say("a. cde");
  EXPECT_THAT(codes(), ElementsAre('a', 'c', 'd'));
  EXPECT_EQ(result.at("reached_limit"), true);
}

TEST_F(Synth, LongestTogether) {
  adapter.record->max_batch = 2;
  const auto result = say_lines("short|ab\nlong|abcdefgh. ijklmn\nmiddle|abcde\n");
  EXPECT_THAT(adapter.record->words, ElementsAre("abcdefgh", "ijklmn", "abcde", "ab"));
  // Whoever has ended makes room for the next one; all waves are decoded two at once.
  EXPECT_THAT(adapter.record->batches, ElementsAre(2U, 1U, 1U));
  EXPECT_THAT(adapter.record->decoded, ElementsAre(2U, 2U));
  ASSERT_EQ(result.at("texts").size(), 3U);
  EXPECT_EQ(result.at("texts")[0].at("id"), "short");  // in the file's order
  EXPECT_EQ(result.at("texts")[1].at("segments"), 2);
  EXPECT_EQ(result.at("frames"), 2 + 14 + 5);
  EXPECT_THAT(codes("many/middle.safetensors"), ElementsAre('a', 'b', 'c', 'd', 'e'));
  EXPECT_EQ(wave("many/long.wav").size(), 14U * 4 + 200);
}

TEST_F(Synth, ATextIsTheSameInAnyCompany) {
  options.greedy = false;
  say("hello. you");
  const auto alone = codes();
  EXPECT_EQ(alone.size(), 8U);
  say_lines("x|longer than hello. and more\ny|hello. you\nz|hi\n");
  EXPECT_EQ(codes("many/y.safetensors"), alone);
  adapter.record->max_batch = 1;
  say_lines("x|longer than hello. and more\ny|hello. you\nz|hi\n", "single");
  EXPECT_EQ(codes("single/y.safetensors"), alone);
  config.seed = 2;
  say_lines("y|hello. you\n", "other");
  EXPECT_NE(codes("other/y.safetensors"), alone);
}

TEST_F(Synth, TheBatchIsTheRunFiles) {
  config.synth.batch = 1;
  say_lines("x|ab\ny|cd\n");
  EXPECT_THAT(adapter.record->batches, ElementsAre(1U, 1U));
}

TEST_F(Synth, ChainedSegmentsKnowWhatWasSaid) {
  adapter.record->chained = true;
  say_lines("x|ab. cde. f\ny|gh\n");
  EXPECT_THAT(adapter.record->words, ElementsAre("ab", "gh", "cde", "f"));
  EXPECT_THAT(adapter.record->earlier, ElementsAre(0U, 0U, 1U, 2U));
  EXPECT_THAT(codes("many/x.safetensors"), ElementsAre('a', 'b', 'c', 'd', 'e', 'f'));
}

TEST_F(Synth, ATextMayBeDecodedAsAWhole) {
  adapter.record->whole_text = true;
  say("ab. c");
  EXPECT_EQ(wave().size(), 12U) << "no pause";
  EXPECT_THAT(adapter.record->decoded, ElementsAre(1U));
}

TEST_F(Synth, GoesOnWithHalfTheRowsWhenMemoryRunsOut) {
  bool thrown = false;
  adapter.record->max_batch = 2;
  adapter.record->on_step = [&] {
    if (thrown) return;
    thrown = true;
    TORCH_CHECK_WITH(OutOfMemoryError, false, "a card that is full");
  };
  say_lines("x|ab\ny|cd\n");
  EXPECT_THAT(adapter.record->batches, ElementsAre(2U, 1U, 1U));
  EXPECT_THAT(codes("many/x.safetensors"), ElementsAre('a', 'b'));
  EXPECT_THAT(codes("many/y.safetensors"), ElementsAre('c', 'd'));
}

TEST_F(Synth, AStreamIsTheWholeWave) {
  const std::string text = "a sentence that is longer than a piece. b";
  say(text);
  const auto whole = wave();
  const auto spoken = codes();
  options.stream = true;
  const auto result = say(text);
  EXPECT_EQ(wave(), whole);
  EXPECT_EQ(codes(), spoken);
  EXPECT_EQ(result.at("segments"), 2);
  EXPECT_GT(result.at("first_audio_seconds").get<double>(), 0);
  EXPECT_LE(result.at("first_audio_seconds").get<double>(),
            result.at("elapsed_seconds").get<double>());
  options.raw = true;
  say(text);
  EXPECT_EQ(fs::file_size(folder / "a.wav"), whole.size() * sizeof(float));
}

TEST_F(Synth, AStreamLeavesOutWhatIsNotHeardAndMayRunThroughAllSegments) {
  const std::string text = "__ab_cdefghijklmnop____q. r_s";
  for (const bool whole_text : {false, true}) {
    adapter.record->whole_text = whole_text;
    options.stream = false;
    say(text);
    const auto whole = wave();
    const auto spoken = codes();
    options.stream = true;
    say(text);
    EXPECT_EQ(wave(), whole);
    EXPECT_EQ(codes(), spoken);
    EXPECT_EQ(whole.size(), 19u * test::kToySamples + (whole_text ? 0u : test::kToyRate / 5u));
  }
}

TEST_F(Synth, AStreamThatBreaksLeavesNothing) {
  options.stream = true;
  EXPECT_THAT(message_of<RunError>([&] { say("abcd~"); }), HasSubstr("not numbers"));
  EXPECT_TRUE(is_clean());
}

TEST_F(Synth, WhatCannotBeStreamed) {
  options.stream = true;
  options.text.reset();
  options.texts = folder.write("texts.txt", "a|b\n");
  EXPECT_THAT(message_of<UsageError>([&] { run_synth(config, adapter, options); }),
              HasSubstr("--stream"));
  options.stream = false;
  options.out = "-";
  EXPECT_THAT(message_of<UsageError>([&] { run_synth(config, adapter, options); }),
              HasSubstr("standard output takes one sound"));
}

TEST_F(Synth, CodesGoOutAndIn) {
  say("abc");
  const auto spoken = wave();
  const std::vector<size_t> batches = adapter.record->batches;
  SynthOptions decode;
  decode.codes_in = folder / "a.safetensors";
  decode.out = folder / "b.wav";
  const auto result = run_synth(config, adapter, decode);
  EXPECT_EQ(wave("b.wav"), spoken);
  EXPECT_EQ(result.at("frames"), 3);
  EXPECT_EQ(adapter.record->batches, batches);  // the language model was not asked
}

TEST_F(Synth, CodesThatTheModelRefuses) {
  SynthOptions decode;
  decode.codes_in = folder / "c.safetensors";
  decode.out = folder / "b.wav";
  write_codes(decode.codes_in, torch::ones({3, 5}, torch::kInt64));
  EXPECT_THROW(run_synth(config, adapter, decode), DataError);
  save_tensors(decode.codes_in, {{"codes", torch::ones({3, 2})}});
  EXPECT_THROW(run_synth(config, adapter, decode), DataError);
  EXPECT_TRUE(is_clean());
}

TEST_F(Synth, NoiseIsReplayed) {
  save_tensors(folder / "n.safetensors", {{"bias", torch::tensor({0.5f})}});
  options.noise = folder / "n.safetensors";
  say("a");
  EXPECT_FLOAT_EQ(wave()[0], 0.5f + 'a' / 1000.f);
  options.text = "a. b";
  EXPECT_THAT(message_of<UsageError>([&] { run_synth(config, adapter, options); }),
              HasSubstr("recorded for one segment"));
  save_tensors(folder / "n.safetensors", {{"z", torch::tensor({0.5f})}});
  EXPECT_THROW(say("a"), DataError);
}

TEST_F(Synth, Checkpoints) {
  PeftConfig peft;
  peft.target_modules.endings = {"q_proj"};
  folder.write("run/checkpoints/step-00000010/adapter_config.json", peft_config_json(peft).dump());
  folder.write("run/checkpoints/step-00000010/adapter_model.safetensors", "");
  say("a");
  EXPECT_EQ(adapter.record->checkpoint, "base");  // unless told otherwise
  options.checkpoints = {"last"};
  config.synth.lora_scale = 0.5;
  EXPECT_EQ(say("a").at("lora_scale"), 0.5);
  EXPECT_EQ(adapter.record->checkpoint, "step-00000010");
  EXPECT_EQ(adapter.record->lora_scale, 0.5);
  options.lora_scale = 0.0;
  EXPECT_EQ(say("a").at("lora_scale"), 0.0);
  EXPECT_EQ(adapter.record->lora_scale, 0.0);
}

TEST_F(Synth, WrongCheckpoints) {
  options.lora_scale = 0.3;
  EXPECT_THAT(message_of<UsageError>([&] { say("a"); }),
              HasSubstr("the checkpoint base has no adapter to scale"));
  options.lora_scale.reset();
  options.checkpoints = {"last"};
  EXPECT_THROW(say("a"), UsageError);
  options.checkpoints.clear();
  config.checkpoint = folder / "run";
  fs::create_directories(folder / "run");
  EXPECT_THAT(message_of<DataError>([&] { say("a"); }), HasSubstr("not a checkpoint of Toy"));
}

TEST_F(Synth, WrongUsageLoadsNothing) {
  options.max_frames = 0;
  EXPECT_THROW(say("a"), UsageError);
  options.max_frames.reset();
  EXPECT_THROW(say(""), UsageError);
  config.synth.format = "mp3";
  EXPECT_THROW(say("a"), UsageError);
  EXPECT_EQ(adapter.record->lora_scale, -1);
}

TEST_F(Synth, NothingToSpeak) {
  config.data.guards = {{"text_unspoken", "off"}};
  EXPECT_THAT(message_of<DataError>([&] { say("..."); }), HasSubstr("nothing to speak"));
}

TEST_F(Synth, AModelThatEndsAtOnce) {
  config.data.guards = {{"text_unspoken", "off"}};
  EXPECT_THAT(message_of<RunError>([&] { say("#"); }), HasSubstr("without a frame"));
  EXPECT_TRUE(is_clean());
  EXPECT_THAT(message_of<RunError>([&] { say_lines("x|ab\ny|#\n"); }), HasSubstr("frame: y;"));
  EXPECT_THAT(codes("many/x.safetensors"), ElementsAre('a', 'b'));  // the others are there
  options.texts.clear();
  options.out = folder / "a.wav";
  options.codes_out = folder / "a.safetensors";
  EXPECT_EQ(say("a. #").at("frames"), 1);
  EXPECT_EQ(wave().size(), 4U);  // no pause beside a silent segment
}

TEST_F(Synth, SoundThatIsNotANumber) {
  EXPECT_THAT(message_of<RunError>([&] { say("a~"); }), HasSubstr("not numbers"));
  EXPECT_TRUE(is_clean());
}

TEST_F(Synth, ASignalStopsBetweenFrames) {
  install_signal_handlers();
  adapter.record->on_step = [] { std::raise(SIGTERM); };
  EXPECT_THROW(say("abc"), Stopped);
  clear_stop_signal();
  EXPECT_EQ(adapter.record->steps, 1);
  EXPECT_TRUE(is_clean());
}

TEST_F(Synth, DryRunLoadsNothing) {
  options.dry_run = true;
  const auto result = say("abc");
  EXPECT_EQ(result.at("dry_run"), true);
  EXPECT_EQ(adapter.record->lora_scale, -1);
  EXPECT_TRUE(is_clean());
  EXPECT_THAT(describe_synth(result), HasSubstr("would write"));
}

TEST_F(Synth, ATextThatNobodyCanPronounceIsRefusedBeforeAnythingIsLoaded) {
  EXPECT_THAT(message_of<UsageError>([&] { say("..."); }),
              AllOf(HasSubstr("nothing in the text can be pronounced"), HasSubstr("--text")));
  EXPECT_THAT(message_of<UsageError>([&] { say_lines("a|Hello\nb|?!\n"); }),
              HasSubstr("--texts, b"));
  EXPECT_EQ(adapter.record->steps, 0);
  EXPECT_TRUE(is_clean());
  config.data.guards = {{"text_unspoken", "warn"}};
  options.texts.clear();
  options.out = folder / "a.wav";
  options.codes_out.clear();
  EXPECT_THAT(message_of<RunError>([&] { say("#"); }), HasSubstr("without a frame"));
}

TEST_F(Synth, ASilentReferenceIsRefused) {
  write_wav(folder / "silence.ref", std::vector<float>(3 * 16000, 0.f), 16000);
  config.data.reference = folder / "silence.ref";
  EXPECT_THAT(message_of<DataError>([&] { say("abc"); }),
              AllOf(HasSubstr("nothing but silence"), HasSubstr("data.reference")));
  config.data.reference = folder / "gone.ref";
  EXPECT_THAT(message_of<UsageError>([&] { say("abc"); }), HasSubstr("gone.ref"));
}

}  // namespace
}  // namespace ttsft
