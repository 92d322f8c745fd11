// Every registered model on LibTorch's meta device (nn/meta_device.h): a training step of every
// stage and decoding steps of every synthesizer. Reading a number on the host throws there, and so
// does mixing with a tensor of the CPU, so what passes here waits for no GPU and crosses to none.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "src/train/trainee.h"
#include "tests/contract/world.h"
#include "tests/support/meta_watch.h"
#include "ttsft/model/frame_decoder.h"
#include "ttsft/nn/checkpointing.h"
#include "ttsft/nn/meta_device.h"

namespace ttsft {
namespace {

using ::testing::HasSubstr;

// A random checkpoint, made once per model, and a run file for it.
struct Model {
  explicit Model(const ModelAdapter& made_by)
      : adapter(made_by), config(default_run(made_by.info().name)) {
    write_fixture(fixture_files(adapter.info().folder, FixtureSize::kTiny), folder / "checkpoint",
                  1);
    config.checkpoint = folder / "checkpoint";
    config.data.reference = std::filesystem::path(TTSFT_FIXTURES) / "austen/wavs/austen-0880.wav";
    adapter.speak_as_trained(config);
    use_meta_device();
  }

  static Model& of(const ModelAdapter& adapter) {
    static std::map<std::string, std::unique_ptr<Model>> models;
    auto& model = models[adapter.info().name];
    if (!model) model = std::make_unique<Model>(adapter);
    return *model;
  }

  CheckpointRef base() const { return {"base", config.checkpoint, CheckpointKind::kBase}; }

  const ModelAdapter& adapter;
  TemporaryFolder folder;
  RunConfig config;
};

class OnMeta : public testing::TestWithParam<const ModelAdapter*> {
 protected:
  Model& model() { return Model::of(*GetParam()); }
};

// The step of a run, up to the gradients.
void train_step(Model& model, RunConfig config, torch::Dtype dtype, bool recompute) {
  const ModelContext context{config, torch::kMeta, dtype};
  const auto stage = model.adapter.make_stage(context, model.base());
  Trainee trainee =
      make_trainee(config, *stage, context.device, {}, model.adapter.info().peft_task_type);
  stage->module().train();
  set_activation_checkpointing(stage->module(), recompute);
  const auto first = stage->random_sample(1), second = stage->random_sample(2);
  const Sample* rows[] = {first.get(), second.get()};
  const auto batch = stage->make_batch(rows, Draw{.training = true, .seed = 3});
  const test::RefuseMixing refuse;
  torch::Tensor total;
  for (const LossTerm& term : stage->loss(*batch, {.accuracy = true})) {
    ASSERT_TRUE(term.value.is_meta()) << term.name;
    ASSERT_TRUE(!term.correct.defined() || term.correct.is_meta()) << term.name;
    const torch::Tensor part = term.value.sum() * term.weight;
    total = total.defined() ? total + part : part;
  }
  ASSERT_TRUE(total.requires_grad());
  trainee.weights.begin_step();
  total.backward();
  trainee.weights.collect();
  int64_t with_gradient = 0;
  for (const torch::Tensor& gradient : trainee.weights.gradients()) {
    if (!gradient.defined()) continue;
    EXPECT_TRUE(gradient.is_meta());
    ++with_gradient;
  }
  EXPECT_GT(with_gradient, 0);
  trainee.weights.publish();
}

TEST_P(OnMeta, EveryStageTrains) {
  for (const std::string& stage : model().adapter.info().stages) {
    for (const char* method : {"lora", "full"}) {
      for (const bool recompute : {false, true}) {
        for (const torch::Dtype dtype : {torch::kFloat32, torch::kBFloat16}) {
          SCOPED_TRACE(stage + " " + method + (recompute ? " recomputed" : "") + " " +
                       c10::toString(dtype));
          RunConfig config = model().config;
          config.train.stage = stage;
          config.train.method = method;
          if (config.train.method == "lora") config.lora.dropout = 0.1;
          config.lora.targets = lora_targets(config, model().adapter.info());
          ASSERT_NO_THROW(train_step(model(), config, dtype, recompute));
        }
      }
    }
  }
}

// A voice is made of a recording before the first step, and may be read.
std::unique_ptr<Synthesizer> make_synthesizer(Model& model, const ModelContext& context) {
  const test::ReadAsOnes reading;
  auto synthesizer = model.adapter.make_synthesizer(context, CheckpointSet{model.base(), {}},
                                                    /*lora_scale=*/1.0);
  synthesizer->load();
  return synthesizer;
}

TEST_P(OnMeta, EverySynthesizerDecodes) {
  const torch::InferenceMode inference;
  for (const bool greedy : {true, false}) {
    SCOPED_TRACE(greedy ? "greedy" : "sampled");
    const ModelContext context{model().config, torch::kMeta, torch::kBFloat16};
    const auto synthesizer = make_synthesizer(model(), context);
    FrameDecoder decoder(synthesizer->language_model(),
                         synthesizer->plan({.greedy = greedy, .max_frames = 20}),
                         synthesizer->tensor_options());
    const test::RefuseMixing refuse;
    // Texts of two lengths, and a third that comes when the others are on their way.
    decoder.admit(std::vector<RowPrompt>{synthesizer->prompt("he was not", 1, {}),
                                         synthesizer->prompt("had he married a more", 2, {})});
    for (int step = 0; step < 3; ++step) decoder.step();
    decoder.admit(std::vector<RowPrompt>{synthesizer->prompt("an ill disposed", 3, {})});
    for (int step = 0; step < 3; ++step) decoder.step();
    EXPECT_TRUE(decoder.ended().is_meta());
    EXPECT_EQ(decoder.ended().size(0), 3);
  }
}

// That a model passes above means something: a step that reads a number, one that mixes in a tensor
// of the CPU, and a batch that nobody moved all throw.
struct ReadsTheBest : TokenRule {
  torch::Tensor apply(const torch::Tensor& scores, const TokenHistory&) const override {
    return scores - scores.max().item<float>();
  }
};
struct AddsFromTheCpu : TokenRule {
  torch::Tensor apply(const torch::Tensor& scores, const TokenHistory&) const override {
    return scores + torch::zeros({scores.size(1)});
  }
};

TEST_P(OnMeta, AHostReadAndAMixOfDevicesAreCaught) {
  const torch::InferenceMode inference;
  const ModelContext context{model().config, torch::kMeta, torch::kFloat32};
  const auto synthesizer = make_synthesizer(model(), context);
  const auto refusal = [&](const std::shared_ptr<const TokenRule>& rule) -> std::string {
    DecodingPlan plan = synthesizer->plan({.greedy = true, .max_frames = 20});
    plan.rules.push_back(rule);
    FrameDecoder decoder(synthesizer->language_model(), plan, synthesizer->tensor_options());
    decoder.admit(std::vector<RowPrompt>{synthesizer->prompt("he was not", 1, {})});
    const test::RefuseMixing refuse;
    try {
      decoder.step();
    } catch (const c10::Error& error) {
      return error.what_without_backtrace();
    }
    return "nothing was thrown";
  };
  EXPECT_THAT(refusal(std::make_shared<ReadsTheBest>()), HasSubstr("_local_scalar_dense"));
  EXPECT_THAT(refusal(std::make_shared<AddsFromTheCpu>()), HasSubstr("same device"));

  const auto stage = model().adapter.make_stage(context, model().base());
  const auto sample = stage->random_sample(1);
  const Sample* row = sample.get();
  const auto batch = stage->collate(std::span(&row, 1), Draw{});
  const test::RefuseMixing refuse;
  EXPECT_THROW(stage->loss(*batch, {}), c10::Error);
}

INSTANTIATE_TEST_SUITE_P(Models, OnMeta, testing::ValuesIn(all_models()), test_name);

}  // namespace
}  // namespace ttsft
