#include "models/indextts2/generate.h"

#include <gtest/gtest.h>

#include "tests/models/indextts2/gpt_fixture.h"
#include "tests/support/spoken.h"

namespace ttsft::indextts2::test {
namespace {

class GenerateTest : public testing::Test {
 protected:
  static const nlohmann::json& synth_case(const std::string& name) {
    return expected_json("synth")["cases"][name];
  }
  static SpeechPrompt prompt_of(const std::string& name) {
    return {expected("synth", "prompt.conditioning"), expected("synth", name + ".emo_vec"),
            synth_case(name)["text_ids"].get<std::vector<int64_t>>()};
  }
  static GenerateOptions options_of(const std::string& name) {
    const nlohmann::json& settings = synth_case(name)["settings"];
    GenerateOptions options;
    options.sampling.greedy = true;
    options.beams = settings["num_beams"];
    options.repetition_penalty = settings["repetition_penalty"];
    options.length_penalty = settings["length_penalty"];
    options.max_codes = settings["max_generate_length"];
    return options;
  }
  // Without the stop token.
  static torch::Tensor codes_of(const std::string& name) {
    const auto codes = synth_case(name)["generated"].get<std::vector<int64_t>>();
    return torch::tensor(codes).narrow(0, 0, synth_case(name)["code_len"].get<int64_t>());
  }
  FrameDecoder start(const std::vector<SpeechPrompt>& prompts, const GenerateOptions& options,
                     std::vector<uint64_t> seeds = {}) {
    seeds.resize(prompts.size(), 1);
    std::vector<RowPrompt> rows;
    for (size_t i = 0; i < prompts.size(); ++i) {
      rows.push_back(lm_.prompt(prompts[i]));
      rows.back().seed = seeds[i];
    }
    FrameDecoder decoder(lm_, decoding_plan(fixture_config().gpt, options), torch::kFloat32);
    decoder.admit(rows);
    return decoder;
  }
  std::vector<torch::Tensor> generate(const std::vector<SpeechPrompt>& prompts,
                                      const GenerateOptions& options,
                                      std::vector<uint64_t> seeds = {}) {
    FrameDecoder decoder = start(prompts, options, std::move(seeds));
    std::vector<torch::Tensor> codes;
    for (const DecodedRow& row : ttsft::test::decode_all(decoder)) codes.push_back(row.codes);
    return codes;
  }
  // Logits of the first two codes.
  std::pair<torch::Tensor, torch::Tensor> two_logits(GptLm& lm, const SpeechPrompt& prompt) {
    FrameDecoder decoder(lm, decoding_plan(fixture_config().gpt, options_of("greedy")),
                         torch::kFloat32);
    const RowPrompt row = lm.prompt(prompt);
    decoder.admit(std::span(&row, 1));
    const torch::Tensor first = decoder.last_logits();
    decoder.step();
    decoder.step();  // the frame of a step is fed by the next one
    return {first[0], decoder.last_logits()[0]};
  }

  UnifiedVoice model_ = fixture_gpt();
  GptLm lm_{model_, fixture_config().gpt, torch::kFloat32, MelPositions::kUpstream};
  GptLm as_trained_{model_, fixture_config().gpt, torch::kFloat32, MelPositions::kTraining};
  c10::InferenceMode inference_;
};

TEST_F(GenerateTest, CodesAreUpstreams) {
  for (const std::string name :
       {"greedy", "greedy_rep10", "beam3_rep10", "emo_audio_alpha06", "emo_vector"}) {
    expect_equal(generate({prompt_of(name)}, options_of(name))[0], codes_of(name), name);
  }
}

TEST_F(GenerateTest, InputsAndLogitsAreUpstreams) {
  const SpeechPrompt prompt = prompt_of("greedy");
  const torch::Tensor inputs = prompt_inputs(model_, fixture_config().gpt, prompt);
  const torch::Tensor prefill = expected("synth", "greedy.prefill_embeds");
  expect_close(inputs, prefill.narrow(0, 0, prefill.size(0) - 1), 1e-5);
  const auto [first, second] = two_logits(lm_, prompt);
  expect_close(first.narrow(0, 0, 64), expected("synth", "greedy.first_step_logits_first64"), 1e-3);
  expect_close(second.narrow(0, 0, 64), expected("synth", "greedy.second_step_logits_first64"),
               1e-3);
}

TEST_F(GenerateTest, PositionsAreACodeApart) {
  // Training's positions change the second step's logits, not the first's.
  const auto upstream = two_logits(lm_, prompt_of("greedy")),
             training = two_logits(as_trained_, prompt_of("greedy"));
  expect_equal(upstream.first, training.first);
  EXPECT_GT((upstream.second - training.second).abs().max().item<double>(), 0.01);
}

TEST_F(GenerateTest, TrainingsPositionsAreThoseOfTheLoss) {
  const torch::Tensor codes = codes_of("greedy");
  const SpeechPrompt prompt = prompt_of("greedy");
  const Objective objective(fixture_config().gpt, {});
  SpeechSample sample;
  sample.text = prompt.text;
  sample.codes = to_vector(codes.narrow(0, 0, 2));
  sample.condition = prompt.condition;
  sample.emotion = prompt.emotion;
  const SpeechSample* row = &sample;
  const SpeechBatch batch = objective.collate(std::span(&row, 1));
  const torch::Tensor hidden = model_->gpt(objective.embed(model_, batch))[0];
  const torch::Tensor wanted =
      model_->mel_head(model_->norm(hidden.index_select(0, batch.mel.label_position)));
  const auto [first, second] = two_logits(as_trained_, prompt);
  expect_close(first, wanted[0], 1e-4);
  expect_close(second, wanted[1], 1e-4);  // greedy picks the same first code
}

TEST_F(GenerateTest, RowsOfABatchComeOutAsAlone) {
  SpeechPrompt brief = prompt_of("emo_vector");
  brief.text.resize(5);
  for (const int64_t beams : {1, 3}) {
    for (const bool greedy : {true, false}) {
      GenerateOptions options = options_of("greedy");
      options.beams = beams;
      options.sampling.greedy = greedy;
      options.sampling.top_k = 30;
      options.sampling.temperature = 0.8;
      options.sampling.top_p = 0.8;
      const std::vector<SpeechPrompt> prompts = {prompt_of("greedy"), brief,
                                                 prompt_of("emo_audio_alpha06")};
      const auto together = generate(prompts, options, {5, 6, 7});
      for (size_t row = 0; row < prompts.size(); ++row) {
        const auto alone = generate({prompts[row]}, options, {5 + row});
        expect_equal(together[row], alone[0],
                     std::to_string(beams) + " beams, row " + std::to_string(row));
      }
    }
  }
}

TEST_F(GenerateTest, DrawsDependOnTheSeed) {
  for (const int64_t beams : {1, 3}) {
    GenerateOptions options = options_of("greedy");
    options.beams = beams;
    options.sampling.greedy = false;
    const auto first = generate({prompt_of("greedy")}, options, {1})[0];
    expect_equal(generate({prompt_of("greedy")}, options, {1})[0], first);
    EXPECT_FALSE(torch::equal(generate({prompt_of("greedy")}, options, {2})[0], first));
  }
}

TEST_F(GenerateTest, LimitAndStopTokensInTheText) {
  GenerateOptions options = options_of("greedy");
  options.max_codes = 4;
  FrameDecoder decoder = start({prompt_of("greedy")}, options);
  const DecodedRow row = ttsft::test::decode_all(decoder)[0];
  expect_equal(row.codes, codes_of("greedy").narrow(0, 0, 4));
  EXPECT_TRUE(row.reached_limit);
  SpeechPrompt marked = prompt_of("greedy");
  marked.text.insert(marked.text.begin() + 2, {0, 1});  // upstream drops both
  expect_equal(generate({marked}, options_of("greedy"))[0], codes_of("greedy"));
  // The position table ends the longest text.
  options.max_codes = 100000;
  options.sampling.greedy = false;
  options.sampling.temperature = 50.0;
  EXPECT_LE(generate({prompt_of("greedy")}, options)[0].size(0), fixture_config().gpt.max_mel_tokens);
}

TEST_F(GenerateTest, LatentsAreUpstreams) {
  const torch::Tensor codes = codes_of("greedy");
  const SpeechPrompt prompt = prompt_of("greedy");
  SpeechPrompt brief = prompt;
  brief.text.resize(3);
  const auto latents = code_latents(model_, fixture_config().gpt, {brief, prompt, prompt},
                                    {codes.narrow(0, 0, 5), codes, codes.narrow(0, 0, 0)});
  expect_close(latents[1], expected("synth", "greedy.gpt_latent"), 1e-4);
  expect_close(latents[0],
               code_latents(model_, fixture_config().gpt, {brief}, {codes.narrow(0, 0, 5)})[0],
               1e-5);
  EXPECT_EQ(latents[2].size(0), 0);
}

}  // namespace
}  // namespace ttsft::indextts2::test
