// T3 layer by layer against upstream's: condition, embeddings, blocks, heads of clip a.
#include "models/chatterbox/modules.h"

#include <gtest/gtest.h>

#include "models/chatterbox/weights.h"
#include "tests/models/chatterbox/chatterbox_fixture.h"
#include "ttsft/core/error.h"

namespace ttsft::chatterbox::test {
namespace {

class T3Layers : public testing::Test {
 protected:
  void SetUp() override {
    config_ = read_config(fixture().path("checkpoint"));
    t3_ = load_t3(fixture().path("checkpoint"), config_.t3, torch::kCPU, torch::kFloat32);
    t3_->eval();
    const PreparedClip clip = upstream_clip("a");
    sample_.id = "a";
    sample_.text = torch::cat({torch::tensor({255}), clip.text_ids, torch::tensor({0})});
    sample_.speech = torch::cat(
        {torch::tensor({kStartSpeech}), clip.speech_codes, torch::tensor({kStopSpeech})});
    sample_.condition = {clip.speaker_emb, clip.prompt_tokens};
  }

  c10::InferenceMode inference_;
  Config config_;
  T3 t3_{nullptr};
  SpeechSample sample_;
};

TEST_F(T3Layers, Condition) {
  const torch::Tensor prompt = sample_.condition.prompt.unsqueeze(0);
  const torch::Tensor condition =
      t3_->condition(sample_.condition.speaker.unsqueeze(0), prompt, {}, torch::full({1, 1}, 0.5));
  expect_close(condition.narrow(1, 1, config_.t3.perceiver_queries),
               upstream("layers", "t3.perceiver_out"), 1e-4, "perceiver");
  expect_close(condition, upstream("layers", "t3.cond_emb"), 1e-4, "condition");

  // Only the last vector is the emotion's.
  const torch::Tensor moved =
      t3_->condition(sample_.condition.speaker.unsqueeze(0), prompt, {}, torch::full({1, 1}, 0.9));
  const int64_t last = condition.size(1) - 1;
  expect_equal(moved.narrow(1, 0, last), condition.narrow(1, 0, last), "all but emotion");
  EXPECT_FALSE(torch::equal(moved[0][last], condition[0][last]));
}

TEST_F(T3Layers, PaddedPromptsAreNotSeen) {
  const torch::Tensor prompt = sample_.condition.prompt, speaker = sample_.condition.speaker;
  const int64_t n = prompt.size(0), shorter = n - 20;
  torch::Tensor both = torch::stack({prompt, prompt});
  torch::Tensor visible = torch::ones({2, n}, torch::kBool);
  visible[1].narrow(0, shorter, 20).fill_(false);
  const torch::Tensor emotion = torch::full({2, 1}, 0.5);
  const torch::Tensor batch =
      t3_->condition(torch::stack({speaker, speaker}), both, visible, emotion);
  const torch::Tensor alone = t3_->condition(
      speaker.unsqueeze(0), prompt.narrow(0, 0, shorter).unsqueeze(0), {}, emotion.narrow(0, 0, 1));
  expect_close(batch[0], upstream("layers", "t3.cond_emb")[0], 1e-4, "whole prompt");
  expect_close(batch[1], alone[0], 1e-5, "shorter prompt");
}

// Upstream's taps feed the stop code too, which predicts nothing; ours end one position earlier.
TEST_F(T3Layers, EmbeddingsBlocksAndHeads) {
  const Options options;
  const Objective objective(config_.t3, options);
  const SpeechSample* row = &sample_;
  const SpeechBatch batch = objective.collate(std::span(&row, 1));
  torch::Tensor x = objective.embed(t3_, batch);
  const int64_t time = x.size(1);
  const auto tap = [&](const char* name) { return upstream("layers", name).narrow(1, 0, time); };
  ASSERT_EQ(upstream("layers", "t3.input_embeds").size(1), time + 1);
  expect_close(x, tap("t3.input_embeds"), 1e-4, "inputs");

  const StackOptions& stack = t3_->tfmr->options();
  const Rope rope =
      make_rope(torch::arange(time),
                {stack.block.head_dim, stack.rope_theta, RopeLayout::kHalves, stack.rope_scaling},
                torch::kFloat32);
  const AttentionContext context{.rope = &rope, .mask = {}, .causal = true};
  for (int64_t i = 0; i < config_.t3.num_hidden_layers; ++i) {
    x = t3_->tfmr->block(i)->forward(x, context, i);
    expect_close(x, tap(("t3.layer" + std::to_string(i) + "_out").c_str()), 2e-4, "layer");
  }
  const torch::Tensor hidden = t3_->tfmr->norm(x);
  expect_close(hidden, tap("t3.final_norm"), 1e-4, "final norm");

  const torch::Tensor text =
      hidden[0].narrow(0, config_.t3.condition_length(), sample_.text.size(0));
  expect_close(t3_->text_head(text).slice(1, 0, 64), upstream("layers", "t3.text_logits"), 2e-4);
  const torch::Tensor speech = hidden[0].index_select(0, batch.speech.label_position);
  const torch::Tensor expected = upstream("layers", "t3.speech_logits_first64");
  expect_close(t3_->speech_head(speech).slice(1, 0, 64), expected.narrow(0, 0, speech.size(0)),
               2e-4, "speech logits");
}

TEST(T3Weights, TheWholeFileAndNothingElse) {
  const TemporaryFolder folder;
  const auto source = fixture().path("checkpoint");
  for (const auto& entry : std::filesystem::directory_iterator(source))
    std::filesystem::copy(entry.path(), folder / entry.path().filename().string());
  const Config config = read_config(folder.path());
  std::vector<std::pair<std::string, torch::Tensor>> tensors;
  const auto file = open_weights(source, "t3_cfg");
  for (const TensorView& view : file->tensors()) tensors.emplace_back(view.name, copy_tensor(view));
  EXPECT_EQ(tensors.size(), 22 + 9u * 2) << "nine a layer; 292 with the release's thirty";
  tensors.emplace_back("stranger", torch::zeros({1}));
  save_tensors(folder / "t3_cfg.safetensors", tensors);
  EXPECT_THROW(load_t3(folder.path(), config.t3, torch::kCPU, torch::kFloat32), DataError);
}

}  // namespace
}  // namespace ttsft::chatterbox::test
