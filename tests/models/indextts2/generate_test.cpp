#include "models/indextts2/generate.h"

#include <gtest/gtest.h>

#include "tests/models/indextts2/gpt_fixture.h"

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
  std::vector<torch::Tensor> generate(const std::vector<SpeechPrompt>& prompts,
                                      const GenerateOptions& options,
                                      std::vector<uint64_t> seeds = {}) {
    seeds.resize(prompts.size(), 1);
    generator_.begin(prompts, seeds, options);
    for (int64_t i = 0; i < options.max_codes && !generator_.finished().all().item<bool>(); ++i)
      generator_.step();
    return generator_.codes();
  }

  UnifiedVoice model_ = fixture_gpt();
  CodeGenerator generator_{model_, fixture_config().gpt, torch::kCPU, torch::kFloat32};
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
  generator_.begin({prompt}, {1}, options_of("greedy"));
  generator_.step();
  expect_close(generator_.last_logits()[0].narrow(0, 0, 64),
               expected("synth", "greedy.first_step_logits_first64"), 1e-3);
  generator_.step();
  expect_close(generator_.last_logits()[0].narrow(0, 0, 64),
               expected("synth", "greedy.second_step_logits_first64"), 1e-3);
}

TEST_F(GenerateTest, PositionsAreACodeApart) {
  // Training's positions change the second step's logits, not the first's.
  GenerateOptions options = options_of("greedy");
  const auto logits = [&](MelPositions positions) {
    options.positions = positions;
    generator_.begin({prompt_of("greedy")}, {1}, options);
    generator_.step();
    const torch::Tensor first = generator_.last_logits();
    generator_.step();
    return std::pair(first, generator_.last_logits());
  };
  const auto upstream = logits(MelPositions::kUpstream), training = logits(MelPositions::kTraining);
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
  GenerateOptions options = options_of("greedy");
  options.positions = MelPositions::kTraining;
  generator_.begin({prompt}, {1}, options);
  generator_.step();
  expect_close(generator_.last_logits()[0], wanted[0], 1e-4);
  generator_.step();  // greedy picks the same first code
  expect_close(generator_.last_logits()[0], wanted[1], 1e-4);
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
  expect_equal(generate({prompt_of("greedy")}, options)[0], codes_of("greedy").narrow(0, 0, 4));
  EXPECT_FALSE(generator_.finished()[0].item<bool>());
  SpeechPrompt marked = prompt_of("greedy");
  marked.text.insert(marked.text.begin() + 2, {0, 1});  // upstream drops both
  expect_equal(generate({marked}, options_of("greedy"))[0], codes_of("greedy"));
  // The position table ends the longest text.
  options.max_codes = 100000;
  options.sampling.greedy = false;
  options.sampling.temperature = 50.0;
  generator_.begin({prompt_of("greedy")}, {1}, options);
  const int64_t limit = fixture_config().gpt.max_mel_tokens;
  for (int64_t i = 0; i < limit + 5; ++i) generator_.step();
  EXPECT_LE(generator_.codes()[0].size(0), limit);
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
