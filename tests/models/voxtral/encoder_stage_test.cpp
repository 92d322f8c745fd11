// An encoder from nothing, and what it is good for afterwards.
#include "models/voxtral/encoder_stage.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "models/voxtral/fixture/files.h"
#include "models/voxtral/weights.h"
#include "tests/models/voxtral/voxtral_fixture.h"
#include "tests/support/temporary_folder.h"
#include "ttsft/core/error.h"
#include "ttsft/eval/eval.h"
#include "ttsft/model/checkpoint.h"
#include "ttsft/model/load_stage.h"
#include "ttsft/model/registry.h"
#include "ttsft/prep/prep.h"
#include "ttsft/train/train.h"

namespace ttsft::voxtral::test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class EncoderStageTest : public testing::Test {
 protected:
  EncoderStageTest() : config_(default_run("voxtral")) {
    auto files = fixture_files(FixtureSize::kTiny);
    std::erase_if(files, [](const FixtureFile& file) { return file.encoder; });
    write_fixture(files, folder_ / "bare", 1);
    config_.checkpoint = folder_ / "bare";
    config_.run = folder_ / "run";
    config_.device = "cpu";
    config_.precision = "fp32";
    config_.accept_license = "cc-by-nc-4.0";
    config_.data.source = fixture().path("audio/metadata.csv");
    config_.data.prepared = folder_ / "prepared";
    config_.data.validation.share = 0;
    config_.train.stage = "encoder";
    config_.train.method = "full";
    config_.train.steps = 30;
    config_.train.batch_utterances = 3;
    config_.train.batch_tokens.reset();
    config_.train.optimizer.learning_rate = 2e-3;
    config_.train.checkpoint_every = config_.train.validate_every = 0;
    config_.eval.split = "train";
  }
  void prepare() { run_prep(config_, find_model("voxtral"), {}); }

  TemporaryFolder folder_;
  RunConfig config_;
};

TEST_F(EncoderStageTest, ItIsTrainedWrittenAndPreparedWith) {
  prepare();
  run_train(config_, find_model("voxtral"), {});
  const auto report = run_eval(config_, find_model("voxtral"), {});
  EXPECT_LT(report["checkpoints"][1]["loss"], report["checkpoints"][0]["loss"]);
  const fs::path trained = resolve_checkpoint(config_, "last").folder;
  // The names and shapes of an encoder that upstream would load.
  const auto written = SafetensorsReader::open(trained / kEncoderFile);
  std::map<std::string, Shape> wanted;
  for (const FixtureFile& file : fixture_files(FixtureSize::kTiny))
    for (const FixtureTensor& tensor : file.encoder ? file.tensors : std::vector<FixtureTensor>())
      wanted[tensor.name] = tensor.shape;
  ASSERT_EQ(written.tensors().size(), wanted.size());
  for (const TensorView& view : written.tensors()) EXPECT_EQ(view.shape, wanted[view.name]);
  // As a checkpoint, and as a file beside another.
  RunConfig use = config_;
  use.train.stage = "lm";
  use.checkpoint = trained;
  use.data.prepared = folder_ / "by-checkpoint";
  run_prep(use, find_model("voxtral"), {});
  RunConfig beside = use;
  beside.checkpoint = config_.checkpoint;
  beside.data.prepared = folder_ / "by-file";
  static_cast<Options&>(*beside.model_options).encoder = trained / kEncoderFile;
  run_prep(beside, find_model("voxtral"), {});
  const auto codes = [](const RunConfig& run) {
    return PreparedSet::open(run.data.prepared, "voxtral").train[1].row.at("codes");
  };
  EXPECT_EQ(codes(use), codes(beside));
  EXPECT_EQ(codes(use).size(), 11u);
}

TEST_F(EncoderStageTest, AnAdapterNeedsAnEncoder) {
  prepare();
  config_.train.method = "lora";
  EXPECT_THAT(message_of<UsageError>([&] { run_train(config_, find_model("voxtral"), {}); }),
              HasSubstr("train.method: full"));
}

// Weight normalisation is only another way to write the same convolution.
TEST_F(EncoderStageTest, WhatIsWrittenIsWhatWasRead) {
  CodecEncoder encoder =
      load_encoder(checkpoint() / kEncoderFile, read_config(checkpoint()).codec, torch::kCPU);
  write_encoder(folder_ / kEncoderFile, encoder, {});
  CodecEncoder again =
      load_encoder(folder_ / kEncoderFile, read_config(checkpoint()).codec, torch::kCPU);
  const auto before = encoder->named_parameters(), after = again->named_parameters();
  for (const auto& item : before) expect_close(after[item.key()], item.value(), 1e-6, item.key());
}

TEST_F(EncoderStageTest, QuantisingIsStraightThroughAndDrawnForEachClip) {
  const torch::NoGradGuard no_grad;
  Codec codec = loaded_codec();
  CodecEncoder encoder = codec.encoder;
  codec.encoder = CodecEncoder(nullptr);
  EncoderObjective objective(codec, 0, nullptr);
  EncoderSample one;
  one.id = "a";
  one.wave = clip_wave("a");
  const EncoderSample* row = &one;
  std::set<std::pair<int, int>> kinds;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    const EncoderBatch batch =
        objective.collate(std::span(&row, 1), {.training = true, .seed = seed});
    const int acoustic = batch.fsq.item<float>() > 0 ? 1 : batch.blur.item<float>() > 0 ? 2 : 0;
    kinds.emplace(static_cast<int>(batch.vq.item<float>()), acoustic);
  }
  EXPECT_EQ(kinds.size(), 6u);
  // In evaluation the wave is that of the codes.
  const EncoderBatch batch = objective.collate(std::span(&row, 1), {});
  const torch::Tensor spoken = codec.decode({clip_codes("a")})[0];
  for (const LossTerm& term : objective.loss(encoder, batch, false)) {
    if (term.name == "wave")
      EXPECT_NEAR(term.value.item<float>(), (spoken - one.wave).abs().mean().item<float>(), 1e-5);
  }
}

// Clips whose codes are known: the fixture's own encoder knows them, a new one does not.
TEST_F(EncoderStageTest, KnownCodesAreLearned) {
  const torch::NoGradGuard no_grad;
  const Config config = read_config(checkpoint());
  Codec codec = loaded_codec();
  CodecEncoder encoder = codec.encoder;
  EncoderObjective objective(codec, 1, nullptr);
  EncoderSample spoken;
  spoken.id = "a";
  spoken.codes = clip_codes("a");
  const EncoderSample* row = &spoken;
  const EncoderBatch batch = objective.collate(std::span(&row, 1), {});
  EXPECT_EQ(batch.supervised.at("semantic"), 15);
  EXPECT_FALSE(batch.supervised.contains("wave"));
  const auto terms = objective.loss(encoder, batch, true);
  ASSERT_EQ(terms.size(), 3u);
  // The acoustic term by hand.
  const torch::Tensor wave = codec.decode({spoken.codes})[0];
  const torch::Tensor latent =
      encoder(wave.unsqueeze(0), std::vector<int64_t>{wave.size(0)})[0].t();
  const torch::Tensor values =
      torch::tanh(latent.narrow(1, config.codec.semantic_dim, config.codec.acoustic_dim));
  const torch::Tensor wanted = spoken.codes.narrow(1, 1, 36).to(torch::kFloat32) / 10 - 1;
  const torch::Tensor apart = (values - wanted).abs();
  const torch::Tensor smooth =
      torch::where(apart < 0.05, 0.5 * apart * apart / 0.05, apart - 0.025).mean(1);
  expect_close(terms[2].value, smooth, 1e-5, "acoustic");
  EXPECT_EQ(terms[2].weight, 4);
  const torch::Tensor logits = -(latent.narrow(1, 0, config.codec.semantic_dim).unsqueeze(1) -
                                 codec.quantizer->codebook().unsqueeze(0))
                                    .square()
                                    .sum(2) /
                               0.5;
  expect_close(terms[0].value,
               torch::nn::functional::cross_entropy(
                   logits, spoken.codes.select(1, 0),
                   torch::nn::functional::CrossEntropyFuncOptions().reduction(torch::kNone)),
               1e-3, "semantic");
}

TEST(Anchors, AreDrawnEvenlyWhereNoVoiceTellsItsCodes) {
  const Anchors anchors(checkpoint(), read_config(checkpoint()));
  const torch::Tensor codes = anchors("x", 400, {});
  EXPECT_EQ(codes.sizes(), (torch::IntArrayRef{400, 37}));
  EXPECT_TRUE(torch::equal(codes, anchors("x", 400, {})));
  EXPECT_GT(codes.select(1, 0).max().item<int64_t>(), 7000);
  EXPECT_EQ(codes.narrow(1, 1, 36).max().item<int64_t>(), 20);
  EXPECT_EQ(codes.min().item<int64_t>(), 0);
}

}  // namespace
}  // namespace ttsft::voxtral::test
