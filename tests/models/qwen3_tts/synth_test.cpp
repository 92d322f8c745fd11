// Every synthesis case that upstream ran: prompts, hidden states, codes and waves.
#include "models/qwen3_tts/synth.h"

#include <gtest/gtest.h>

#include "tests/models/qwen3_tts/lm_fixture.h"
#include "tests/support/spoken.h"
#include "ttsft/core/error.h"
#include "ttsft/io/atomic_file.h"

namespace ttsft::qwen3_tts::test {
namespace {

using ttsft::test::decode_all;
using ttsft::test::SeededText;
using ttsft::test::sound_of;

nlohmann::json synth_cases() {
  return nlohmann::json::parse(read_text(fixture_path("expected/synth.json")))["cases"];
}

nlohmann::json synth_case(const std::string& id) {
  for (const auto& one : synth_cases())
    if (one["id"] == id) return one;
  throw std::logic_error("no case " + id);
}

// The base weights with upstream's speaker vector in row 3000.
const std::filesystem::path& custom_checkpoint() {
  static const TemporaryFolder folder;
  static const std::filesystem::path path = [] {
    const Speakers speakers{{"speaker_test", expected_tensor("synth", "speaker_embedding")}};
    write_custom_voice(fixture_path("checkpoint"), fixture_config(), folder / "custom", {},
                       speakers, {{"speaker_test", 3000}}, false, false);
    return folder / "custom";
  }();
  return path;
}

const std::filesystem::path& adapter_folder() {
  static const TemporaryFolder folder;
  static const bool once = [] {
    std::filesystem::copy_file(fixture_path("expected/adapter_init.safetensors"),
                               folder / "adapter_model.safetensors");
    std::filesystem::copy_file(fixture_path("expected/adapter_config.json"),
                               folder / "adapter_config.json");
    return true;
  }();
  (void)once;
  return folder.path();
}

RunConfig config_of(const nlohmann::json& one) {
  RunConfig config = default_run("qwen3-tts");
  const bool clone = one["kind"] == "clone";
  config.checkpoint = clone ? fixture_path("checkpoint") : custom_checkpoint();
  config.data.reference = fixture_path("audio/ref.wav");
  config.data.speaker = "Speaker_Test";  // looked up in lower case
  config.synth.repetition_penalty = one["rp"];
  config.given.insert("synth.repetition_penalty");
  auto& options = static_cast<Options&>(*config.model_options);
  options.mode = !clone ? "custom_voice" : one.value("xvec", false) ? "clone" : "icl";
  options.language = one["language"];
  options.text_streaming = one["non_streaming"] ? "false" : "true";
  options.reference_text = one.value("ref_text", "");
  options.instruct = one.value("instruct", "");
  return config;
}

CheckpointRef checkpoint_of(const nlohmann::json& one, const RunConfig& config) {
  if (one.contains("lora")) return {"adapter", adapter_folder(), CheckpointKind::kAdapter};
  return {"base", config.checkpoint, CheckpointKind::kBase};
}

torch::Tensor codes_of(const nlohmann::json& one) {
  torch::Tensor codes =
      torch::empty({static_cast<int64_t>(one["codes"].size()), 16}, torch::kInt64);
  for (int64_t f = 0; f < codes.size(0); ++f)
    for (int64_t k = 0; k < 16; ++k) codes[f][k] = one["codes"][f][k].get<int64_t>();
  return codes;
}

class SynthCase : public testing::TestWithParam<std::string> {};

TEST_P(SynthCase, IsUpstreams) {
  const auto one = synth_case(GetParam());
  const RunConfig config = config_of(one);
  SpeechSynthesizer synth(ModelContext{config, ttsft::test::test_device()},
                          checkpoint_of(one, config), one.value("lora_scale", 1.0));
  const std::string text = one["text"], id = GetParam();

  synth.load();
  const RowPrompt prompt = synth.prompt(text, 1, {});
  expect_close(prompt.inputs.unsqueeze(0), expected_tensor("synth", id + ".prefill_embeds"), 1e-4,
               "prefill");
  // Upstream goes on with tts_pad, which stands last here.
  const torch::Tensor trailing = expected_tensor("synth", id + ".trailing_text_hidden");
  expect_close(prompt.trailing.narrow(0, 0, trailing.size(1)).unsqueeze(0), trailing, 1e-4,
               "trailing");
  expect_close(prompt.trailing[-1], expected_tensor("synth", id + ".tts_pad_embed").flatten(), 1e-4,
               "tts_pad");

  const bool to_the_end = one["stopped_by"] == "eos";
  const int64_t frames = one["frames"];
  FrameDecoder decoder(synth.language_model(),
                       synth.plan({.greedy = true, .max_frames = frames + (to_the_end ? 8 : 0)}),
                       torch::kFloat32);
  decoder.admit(std::span(&prompt, 1));
  const torch::Tensor hidden = expected_tensor("synth", id + ".talker_hidden");
  for (int64_t f = 0; f < frames; ++f) {
    decoder.step();
    expect_close(decoder.last_state().squeeze(0), hidden[f], 1e-4,
                 "hidden of frame " + std::to_string(f));
    if (id == "xvec" && f < 3)
      expect_close(decoder.last_logits().squeeze(0),
                   expected_tensor("synth", "xvec.talker_logits_step0_2")[f], 1e-4);
  }
  if (to_the_end) {
    EXPECT_FALSE(decoder.ended().all().item<bool>());
    decoder.step();
  }
  EXPECT_TRUE(decoder.ended().all().item<bool>())
      << "the end token comes right after frame " << frames;
  const std::vector<DecodedRow> rows = decoder.take({0});
  EXPECT_EQ(rows[0].reached_limit, !to_the_end);
  expect_equal(rows[0].codes, codes_of(one), "codes");

  EXPECT_EQ(synth.acoustic().sample_rate(), 24000);
  const AudioFile expected =
      decode_audio(fixture_path("expected/" + one["wave_file"].get<std::string>()));
  expect_close(sound_of(synth, {{text, 1}}, rows)[0], torch::tensor(expected.audio.samples),
               1e-3 + 2.0 / 32768, "wave");
}

INSTANTIATE_TEST_SUITE_P(Upstream, SynthCase,
                         testing::Values("xvec", "xvec_nonstream_en", "icl", "icl_short",
                                         "icl_nonstream", "custom", "custom_stream",
                                         "custom_instruct", "custom_lora_scale0.3"),
                         [](const auto& one) {
                           std::string name = one.param;
                           std::replace(name.begin(), name.end(), '.', '_');
                           return name;
                         });

// Prompts are of unequal length, and rows come and go; each must be what it is alone.
TEST(SpeechSynthesizer, BatchEqualsSingle) {
  const auto one = synth_case("custom");
  const RunConfig config = config_of(one);
  const std::vector<SeededText> texts = {
      {one["text"], 10}, {"He might be amiable.", 11}, {"No.", 12}};
  for (const bool greedy : {true, false}) {
    const DecodeOptions options{.greedy = greedy, .max_frames = 16};
    SpeechSynthesizer synth(ModelContext{config, ttsft::test::test_device()},
                            checkpoint_of(one, config), 1.0);
    std::vector<torch::Tensor> alone;
    for (const SeededText& text : texts)
      alone.push_back(decode_all(synth, {text}, options)[0].codes);
    const auto together = decode_all(synth, texts, options);
    for (size_t i = 0; i < texts.size(); ++i)
      expect_equal(together[i].codes, alone[i], texts[i].text);
    const auto waves = sound_of(synth, texts, together);
    for (size_t i = 0; i < texts.size(); ++i)
      EXPECT_EQ(waves[i].size(0), together[i].codes.size(0) * 1920);

    // The last two come in after three frames of the first.
    FrameDecoder decoder(synth.language_model(), synth.plan(options), torch::kFloat32);
    std::vector<RowPrompt> prompts;
    for (const SeededText& text : texts) prompts.push_back(synth.prompt(text.text, text.seed, {}));
    decoder.admit(std::span(prompts).first(1));
    for (int i = 0; i < 3; ++i) decoder.step();
    decoder.admit(std::span(prompts).last(2));
    std::vector<torch::Tensor> later(3);
    std::vector<size_t> there = {0, 1, 2};
    while (decoder.rows() > 0) {
      decoder.step();
      for (int64_t row = decoder.rows() - 1; row >= 0; --row) {
        if (!decoder.ended()[row].item<bool>()) continue;
        later[there[static_cast<size_t>(row)]] = decoder.take({row})[0].codes;
        there.erase(there.begin() + row);
      }
    }
    for (size_t i = 0; i < texts.size(); ++i)
      expect_equal(later[i], alone[i], texts[i].text + ", admitted later");
  }
}

TEST(SpeechSynthesizer, SeedsDecideAndDiffer) {
  const auto one = synth_case("xvec");
  const RunConfig config = config_of(one);
  SpeechSynthesizer synth(ModelContext{config, ttsft::test::test_device()},
                          checkpoint_of(one, config), 1.0);
  const auto speak = [&](uint64_t seed) {
    return decode_all(synth, {{one["text"], seed}}, {.greedy = false, .max_frames = 6})[0].codes;
  };
  const torch::Tensor first = speak(7);
  expect_equal(speak(7), first);
  EXPECT_FALSE(torch::equal(speak(8), first));
}

TEST(SpeechSynthesizer, ScaleZeroIsTheBaseBitForBitAndOneIsNot) {
  const auto one = synth_case("custom_lora_scale0.3");
  const RunConfig config = config_of(one);
  const auto logits = [&](const CheckpointRef& checkpoint, double scale) {
    SpeechSynthesizer synth(ModelContext{config, ttsft::test::test_device()}, checkpoint, scale);
    synth.load();
    FrameDecoder decoder(synth.language_model(), synth.plan({.greedy = true}), torch::kFloat32);
    const RowPrompt prompt = synth.prompt(one["text"], 1, {});
    decoder.admit(std::span(&prompt, 1));
    return decoder.last_logits();
  };
  const CheckpointRef base{"base", config.checkpoint, CheckpointKind::kBase},
      adapter = checkpoint_of(one, config);
  EXPECT_TRUE(torch::equal(logits(adapter, 0.0), logits(base, 1.0)));
  EXPECT_FALSE(torch::allclose(logits(adapter, 1.0), logits(base, 1.0)));
}

// Where the run file is silent the release's generation_config.json decides.
TEST(SpeechSynthesizer, SamplesAsTheReleaseSaysUnlessTheRunFileDoes) {
  TemporaryFolder folder;
  std::filesystem::copy(fixture_path("checkpoint"), folder / "greedy",
                        std::filesystem::copy_options::recursive);
  auto released =
      nlohmann::json::parse(read_text(fixture_path("checkpoint/generation_config.json")));
  released["top_k"] = 1;  // greedy in all but name
  released["subtalker_top_k"] = 1;
  write_text_atomic(folder / "greedy/generation_config.json", released.dump());
  const auto one = synth_case("xvec");
  RunConfig config = config_of(one);
  config.checkpoint = folder / "greedy";
  const auto speak = [&] {
    SpeechSynthesizer synth(ModelContext{config, ttsft::test::test_device()},
                            {"base", config.checkpoint}, 1.0);
    return decode_all(synth, {{one["text"], 3}}, {.greedy = false, .max_frames = 4})[0].codes;
  };
  expect_equal(speak(), codes_of(one).narrow(0, 0, 4));
  config.given.insert("synth.top_k");
  EXPECT_FALSE(torch::equal(speak(), codes_of(one).narrow(0, 0, 4)));
}

TEST(SpeechSynthesizer, SaysWhatIsMissing) {
  const auto error_of = [](const RunConfig& config, const std::filesystem::path& checkpoint) {
    return message_of<Error>([&] {
      SpeechSynthesizer synth(ModelContext{config, ttsft::test::test_device()},
                              CheckpointRef{"base", checkpoint, CheckpointKind::kBase}, 1.0);
      synth.load();
    });
  };
  RunConfig config = config_of(synth_case("xvec"));
  auto& options = static_cast<Options&>(*config.model_options);
  options.language = "klingon";
  EXPECT_NE(error_of(config, config.checkpoint).find("english"), std::string::npos);
  options.language = "auto";
  options.mode = "icl";
  EXPECT_NE(error_of(config, config.checkpoint).find("reference_text"), std::string::npos);
  options.mode = "voice_design";
  EXPECT_NE(error_of(config, config.checkpoint).find("instruct"), std::string::npos);
  options.mode = "custom_voice";
  EXPECT_NE(error_of(config, config.checkpoint).find("names no speakers"), std::string::npos);
  config.data.speaker = "nobody";
  EXPECT_NE(error_of(config, custom_checkpoint()).find("speaker_test"), std::string::npos);
  options.mode = "clone";
  EXPECT_NE(error_of(config, custom_checkpoint()).find("no speaker encoder"), std::string::npos);
  config.data.reference.clear();
  EXPECT_NE(error_of(config, config.checkpoint).find("data.reference"), std::string::npos);
}

TEST(SpeechSynthesizer, VoiceDesignHasNoSpeaker) {
  RunConfig config = config_of(synth_case("custom_instruct"));
  auto& options = static_cast<Options&>(*config.model_options);
  options.mode = "custom_voice";
  SpeechSynthesizer custom(ModelContext{config, ttsft::test::test_device()},
                           {"base", config.checkpoint}, 1.0);
  custom.load();
  const int64_t with_speaker = custom.prompt("He might be amiable.", 1, {}).inputs.size(0);
  options.mode = "voice_design";
  SpeechSynthesizer designed(ModelContext{config, ttsft::test::test_device()},
                             {"base", config.checkpoint}, 1.0);
  designed.load();
  EXPECT_EQ(designed.prompt("He might be amiable.", 1, {}).inputs.size(0), with_speaker - 1);
}

}  // namespace
}  // namespace ttsft::qwen3_tts::test
