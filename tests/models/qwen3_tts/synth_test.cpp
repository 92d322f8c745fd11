// Every synthesis case that upstream ran: prompts, hidden states, codes and waves.
#include "models/qwen3_tts/synth.h"

#include <gtest/gtest.h>

#include "tests/models/qwen3_tts/lm_fixture.h"
#include "ttsft/core/error.h"
#include "ttsft/io/atomic_file.h"

namespace ttsft::qwen3_tts::test {
namespace {

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

void run_steps(SpeechSynthesizer& synth, int64_t limit) {
  for (int64_t i = 0; i < limit && !synth.finished().all().item<bool>(); ++i) synth.step();
}

class SynthCase : public testing::TestWithParam<std::string> {};

TEST_P(SynthCase, IsUpstreams) {
  const auto one = synth_case(GetParam());
  const RunConfig config = config_of(one);
  SpeechSynthesizer synth(ModelContext{config}, checkpoint_of(one, config),
                          one.value("lora_scale", 1.0));
  const std::string text = one["text"], id = GetParam();

  const PromptTensors prompt = synth.prompt(text);
  expect_close(prompt.prefill.unsqueeze(0), expected_tensor("synth", id + ".prefill_embeds"), 1e-4,
               "prefill");
  expect_close(prompt.trailing.unsqueeze(0), expected_tensor("synth", id + ".trailing_text_hidden"),
               1e-4, "trailing");

  const bool to_the_end = one["stopped_by"] == "eos";
  const int64_t frames = one["frames"];
  const std::vector<Prompt> prompts = {{text, 1}};
  synth.begin(prompts, {.greedy = true, .max_frames = frames + (to_the_end ? 8 : 0)});
  const torch::Tensor hidden = expected_tensor("synth", id + ".talker_hidden");
  for (int64_t f = 0; f < frames; ++f) {
    synth.step();
    expect_close(synth.generator().last_hidden().squeeze(0), hidden[f], 1e-4,
                 "hidden of frame " + std::to_string(f));
    if (id == "xvec" && f < 3)
      expect_close(synth.generator().last_logits().squeeze(0),
                   expected_tensor("synth", "xvec.talker_logits_step0_2")[f], 1e-4);
  }
  if (to_the_end) {
    EXPECT_FALSE(synth.finished().all().item<bool>());
    synth.step();
    EXPECT_TRUE(synth.finished().all().item<bool>())
        << "the end token comes right after frame " << frames;
  }
  const auto codes = synth.codes();
  expect_equal(codes[0], codes_of(one), "codes");

  const Audio wave = synth.decode(codes, /*after_prompt=*/true, {})[0];
  EXPECT_EQ(wave.sample_rate, 24000);
  const AudioFile expected =
      decode_audio(fixture_path("expected/" + one["wave_file"].get<std::string>()));
  expect_close(torch::tensor(wave.samples), torch::tensor(expected.audio.samples),
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

// Prompts of unequal length are left-padded; each row must be what it is alone.
TEST(SpeechSynthesizer, BatchEqualsSingle) {
  const auto one = synth_case("custom");
  const RunConfig config = config_of(one);
  const std::vector<std::string> texts = {one["text"], "He might be amiable.", "No."};
  for (const bool greedy : {true, false}) {
    std::vector<torch::Tensor> alone;
    SpeechSynthesizer synth(ModelContext{config}, checkpoint_of(one, config), 1.0);
    for (size_t i = 0; i < texts.size(); ++i) {
      const std::vector<Prompt> prompt = {{texts[i], 10 + i}};
      synth.begin(prompt, {.greedy = greedy, .max_frames = 16});
      run_steps(synth, 16);
      alone.push_back(synth.codes()[0]);
    }
    std::vector<Prompt> prompts;
    for (size_t i = 0; i < texts.size(); ++i) prompts.push_back({texts[i], 10 + i});
    synth.begin(prompts, {.greedy = greedy, .max_frames = 16});
    run_steps(synth, 16);
    const auto together = synth.codes();
    for (size_t i = 0; i < texts.size(); ++i) expect_equal(together[i], alone[i], texts[i]);
    const auto waves = synth.decode(together, true, {});
    for (size_t i = 0; i < texts.size(); ++i)
      EXPECT_EQ(static_cast<int64_t>(waves[i].samples.size()), together[i].size(0) * 1920);
  }
}

TEST(SpeechSynthesizer, SeedsDecideAndDiffer) {
  const auto one = synth_case("xvec");
  const RunConfig config = config_of(one);
  SpeechSynthesizer synth(ModelContext{config}, checkpoint_of(one, config), 1.0);
  const auto speak = [&](uint64_t seed) {
    const std::vector<Prompt> prompt = {{one["text"], seed}};
    synth.begin(prompt, {.greedy = false, .max_frames = 6});
    run_steps(synth, 6);
    return synth.codes()[0];
  };
  const torch::Tensor first = speak(7);
  expect_equal(speak(7), first);
  EXPECT_FALSE(torch::equal(speak(8), first));
}

TEST(SpeechSynthesizer, ScaleZeroIsTheBaseBitForBitAndOneIsNot) {
  const auto one = synth_case("custom_lora_scale0.3");
  const RunConfig config = config_of(one);
  const auto logits = [&](const CheckpointRef& checkpoint, double scale) {
    SpeechSynthesizer synth(ModelContext{config}, checkpoint, scale);
    const std::vector<Prompt> prompt = {{one["text"], 1}};
    synth.begin(prompt, {.greedy = true, .max_frames = 1});
    return synth.generator().last_logits();
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
    SpeechSynthesizer synth(ModelContext{config}, {"base", config.checkpoint}, 1.0);
    const std::vector<Prompt> prompt = {{one["text"], 3}};
    synth.begin(prompt, {.greedy = false, .max_frames = 4});
    run_steps(synth, 4);
    return synth.codes()[0];
  };
  expect_equal(speak(), codes_of(one).narrow(0, 0, 4));
  config.given.insert("synth.top_k");
  EXPECT_FALSE(torch::equal(speak(), codes_of(one).narrow(0, 0, 4)));
}

TEST(SpeechSynthesizer, SaysWhatIsMissing) {
  const auto error_of = [](const RunConfig& config, const std::filesystem::path& checkpoint) {
    return message_of<Error>([&] {
      SpeechSynthesizer synth(ModelContext{config},
                              CheckpointRef{"base", checkpoint, CheckpointKind::kBase}, 1.0);
      synth.prompt("He was");
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
  SpeechSynthesizer custom(ModelContext{config}, {"base", config.checkpoint}, 1.0);
  const int64_t with_speaker = custom.prompt("He might be amiable.").prefill.size(0);
  options.mode = "voice_design";
  SpeechSynthesizer designed(ModelContext{config}, {"base", config.checkpoint}, 1.0);
  EXPECT_EQ(designed.prompt("He might be amiable.").prefill.size(0), with_speaker - 1);
}

}  // namespace
}  // namespace ttsft::qwen3_tts::test
