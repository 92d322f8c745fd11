// What every registered model must keep, proven once for all of them: a model inherits these tests
// from its line in models/models.def.
//
// A tiny random checkpoint (models/<folder>/fixture) is trained on two short clips of real speech
// until it knows them by heart. That proves targets, tokenisation, decoding and stopping together:
// a target that is one frame off, a codebook that is never learned or a prompt that differs between
// train and synth cannot give the clips' own codes back.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include "src/train/checks.h"
#include "tests/contract/world.h"
#include "tests/support/spoken.h"
#include "tests/support/tensor_test.h"
#include "ttsft/core/error.h"
#include "ttsft/data/prepared_set.h"
#include "ttsft/eval/eval.h"
#include "ttsft/export/export.h"
#include "ttsft/model/language_stage.h"
#include "ttsft/model/loss_sums.h"
#include "ttsft/nn/weights.h"

namespace ttsft {
namespace {

class Contract : public testing::TestWithParam<const ModelAdapter*> {
 protected:
  World& world() { return world_of(*GetParam()); }
  const ModelAdapter& adapter() { return *GetParam(); }
};

// Loss of every term over the whole set.
LossTotals evaluate(Stage& stage, const PreparedSet& set) {
  torch::NoGradGuard no_grad;
  std::vector<std::unique_ptr<Sample>> samples;
  std::vector<const Sample*> rows;
  for (const PreparedRow& row : set.all()) {
    samples.push_back(stage.read(row));
    rows.push_back(samples.back().get());
  }
  LossSums sums;
  const auto batch = stage.make_batch(rows, {});
  sums.add(*batch, stage.loss(*batch, {.accuracy = true}));
  return sums.totals();
}

LanguageStage& language(Stage& stage) {
  return dynamic_cast<LanguageStage&>(stage);
}

double cross_entropy(const torch::Tensor& logits, const torch::Tensor& targets) {
  return torch::nn::functional::cross_entropy(logits, targets).item<double>();
}

TEST_P(Contract, InfoIsComplete) {
  const ModelInfo& info = adapter().info();
  EXPECT_FALSE(info.title.empty() || info.paradigm.empty() || info.license.weights.empty());
  EXPECT_GT(info.rates.encoder_in, 0);
  EXPECT_GT(info.rates.codec_out, 0);
  EXPECT_GT(info.rates.frames_per_second, 0);
  EXPECT_FALSE(info.stages.empty() || info.lora_targets.empty() || info.releases.empty());
  EXPECT_NE(adapter().recognise(world().config.checkpoint), "");
  EXPECT_EQ(adapter().recognise(world().folder.path()), "");
}

TEST_P(Contract, TrainingAndDecodingGiveTheSameLogits) {
  auto stage = adapter().make_stage(world().context(), world().base());
  for (const PreparedRow& row :
       PreparedSet::open(world().config.data.prepared, adapter().info().name).all()) {
    const auto sample = stage->read(row);
    const Probe train = language(*stage).train_probe(*sample),
                decode = language(*stage).decode_probe(*sample);
    test::expect_close(decode.logits, train.logits, 1e-3, row.id);
  }
}

TEST_P(Contract, GreedyCodesOfTheMemorisedClipsAreTheirs) {
  const CheckpointRef checkpoint = world().memorised();
  RunConfig config = world().config;
  config.checkpoint = checkpoint.folder;
  auto stage = adapter().make_stage(make_context(config), checkpoint);
  auto synth = adapter().make_synthesizer(make_context(config), {checkpoint, {}}, 1.0);
  for (const PreparedRow& row :
       PreparedSet::open(config.data.prepared, adapter().info().name).all()) {
    const torch::Tensor target = language(*stage).target_codes(*stage->read(row));
    const std::vector<test::SeededText> text = {{row.row["text"].get<std::string>(), 1}};
    const auto spoken =
        test::decode_all(*synth, text, {.greedy = true, .max_frames = 4 * target.size(0)});
    const torch::Tensor& codes = spoken[0].codes;
    EXPECT_EQ(codes.size(0), target.size(0)) << row.id << " does not end where the clip ends";
    const int64_t frames = std::min(codes.size(0), target.size(0));
    const auto equal =
        (codes.narrow(0, 0, frames) == target.narrow(0, 0, frames)).to(torch::kFloat64);
    EXPECT_GE(equal.sum().item<double>() / static_cast<double>(target.numel()), 0.9) << row.id;
    const double rate = synth->acoustic().sample_rate();
    EXPECT_EQ(rate, adapter().info().rates.codec_out);
    const torch::Tensor wave = test::sound_of(*synth, text, spoken)[0];
    EXPECT_NEAR(static_cast<double>(wave.size(0)) / rate,
                static_cast<double>(codes.size(0)) / adapter().info().rates.frames_per_second, 0.1);
  }
}

TEST_P(Contract, LossIsLowestAtTheRightFrame) {
  const CheckpointRef checkpoint = world().memorised();
  RunConfig config = world().config;
  auto stage = adapter().make_stage(make_context(config), checkpoint);
  for (const PreparedRow& row :
       PreparedSet::open(config.data.prepared, adapter().info().name).all()) {
    const auto sample = stage->read(row);
    const Probe probe = language(*stage).train_probe(*sample);
    const int64_t n = probe.targets.size(0) - 1;
    const double right = cross_entropy(probe.logits, probe.targets);
    const double early = cross_entropy(probe.logits.narrow(0, 1, n), probe.targets.narrow(0, 0, n));
    const double late = cross_entropy(probe.logits.narrow(0, 0, n), probe.targets.narrow(0, 1, n));
    EXPECT_LT(right, 0.5 * early) << row.id;
    EXPECT_LT(right, 0.5 * late) << row.id;
  }
}

Probe along_codebooks(const Probe& probe) {
  return {probe.logits.transpose(0, 1), probe.targets.transpose(0, 1)};
}

// `check` finds the probes right, and those wrong whose targets or states are one place off.
void expect_offsets_are_found(
    const std::vector<Probe>& right,
    const std::function<OffsetVerdict(const std::vector<Probe>&)>& check) {
  std::vector<Probe> shifted_labels, wrong_states;
  for (const Probe& probe : right) {
    const int64_t n = probe.targets.size(0) - 1;
    shifted_labels.push_back({probe.logits.narrow(0, 0, n), probe.targets.narrow(0, 1, n)});
    wrong_states.push_back({probe.logits.narrow(0, 1, n), probe.targets.narrow(0, 0, n)});
  }
  EXPECT_EQ(check(right), OffsetVerdict::kRight);
  EXPECT_THROW(check(shifted_labels), CheckError);
  EXPECT_THROW(check(wrong_states), CheckError);
}

// Upstream's and other trainers' faults: labels shifted once too often, states of the frame before
// or behind the one that predicts, and the same in the codes that complete a frame.
TEST_P(Contract, TargetsOrStatesOfAnotherFrameAreRefused) {
  RunConfig config = world().config;
  auto stage = adapter().make_stage(make_context(config), world().memorised());
  stage->module().eval();
  std::vector<Probe> right, depth;
  for (const PreparedRow& row :
       PreparedSet::open(config.data.prepared, adapter().info().name).all()) {
    const auto sample = stage->read(row);
    right.push_back(language(*stage).train_probe(*sample));
    if (auto probe = language(*stage).depth_probe(*sample)) depth.push_back(std::move(*probe));
  }
  expect_offsets_are_found(right, check_frame_offset);
  if (depth.empty()) return;  // no depth-wise decoder
  expect_offsets_are_found(depth, check_frame_offset);
  for (Probe& probe : depth) probe = along_codebooks(probe);
  expect_offsets_are_found(depth, [](const std::vector<Probe>& probes) {
    std::vector<Probe> by_frame;
    for (const Probe& probe : probes) by_frame.push_back(along_codebooks(probe));
    return check_codebook_offset(by_frame);
  });
}

TEST_P(Contract, EveryTermAndCodebookLearnsItsOwnTargets) {
  const PreparedSet set = PreparedSet::open(world().config.data.prepared, adapter().info().name);
  auto before = adapter().make_stage(world().context(), world().base());
  auto after = adapter().make_stage(world().context(), world().memorised());
  const LossTotals untrained = evaluate(*before, set), trained = evaluate(*after, set);
  for (const auto& [name, term] : trained.terms) {
    EXPECT_GT(term.tokens, 0) << name;
    EXPECT_LT(term.mean(), 0.5 * untrained.terms.at(name).mean()) << name;
    for (size_t c = 0; c < term.sum_per_codebook.size(); ++c)
      EXPECT_LT(term.sum_per_codebook[c], 0.5 * untrained.terms.at(name).sum_per_codebook[c])
          << name << " codebook " << c;
  }
}

TEST_P(Contract, ScaleZeroIsTheBaseAndOneIsNot) {
  auto stage = adapter().make_stage(world().context(), world().base());
  stage->module().eval();
  const auto sample = stage->random_sample(5);
  const torch::Tensor base = language(*stage).train_probe(*sample).logits;
  LoraSet lora = LoraSet::load(stage->module(), world().random_adapter(), test::test_device());
  lora.set_scale(0.0);
  EXPECT_TRUE(torch::equal(language(*stage).train_probe(*sample).logits, base));
  lora.set_scale(1.0);
  const torch::Tensor adapted = language(*stage).train_probe(*sample).logits;
  EXPECT_FALSE(torch::allclose(adapted, base, 1e-3, 1e-3));
  lora.merge();
  test::expect_close(language(*stage).train_probe(*sample).logits, adapted, 1e-3, "merged");
}

TEST_P(Contract, ExportedCheckpointIsBasePlusAdapter) {
  const std::filesystem::path out = world().folder / "exported";
  ExportOptions options;
  options.out = out;
  options.checkpoints = {world().random_adapter().string()};
  options.lora_scale = 0.5;
  run_export(world().config, adapter(), options);  // verifies the logits itself
  auto merged = adapter().make_stage(world().context(), {"exported", out, CheckpointKind::kFull});
  auto stage = adapter().make_stage(world().context(), world().base());
  LoraSet lora = LoraSet::load(stage->module(), world().random_adapter(), test::test_device());
  lora.set_scale(0.5);
  stage->module().eval();
  merged->module().eval();
  const auto sample = stage->random_sample(6);
  test::expect_close(language(*merged).train_probe(*sample).logits,
                     language(*stage).train_probe(*sample).logits, 1e-3);
}

// Loading a checkpoint and writing it again gives the same names, shapes and values.
TEST_P(Contract, ExportOfAFullCheckpointIsTheIdentity) {
  const CheckpointRef checkpoint = world().memorised();
  const std::filesystem::path out = world().folder / "again";
  ExportOptions options;
  options.out = out;
  options.checkpoints = {checkpoint.folder.string()};
  run_export(world().config, adapter(), options);
  int files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(checkpoint.folder)) {
    const std::filesystem::path again =
        out / std::filesystem::relative(entry.path(), checkpoint.folder);
    if (entry.path().parent_path().filename() == "trainer_state") continue;
    if (entry.path().extension() == ".pt") {
      EXPECT_EQ(read_bytes(entry.path()), read_bytes(again)) << again;
      ++files;
    }
    if (entry.path().extension() != ".safetensors") continue;
    const SafetensorsReader one = SafetensorsReader::open(entry.path());
    const SafetensorsReader two = SafetensorsReader::open(again);
    ASSERT_EQ(one.tensors().size(), two.tensors().size()) << entry.path();
    for (size_t i = 0; i < one.tensors().size(); ++i) {
      const TensorView &a = one.tensors()[i], &b = two.tensors()[i];
      EXPECT_TRUE(a.name == b.name && a.shape == b.shape && a.dtype == b.dtype) << a.name;
      EXPECT_TRUE(std::equal(a.bytes.begin(), a.bytes.end(), b.bytes.begin(), b.bytes.end()))
          << a.name;
    }
    ++files;
  }
  EXPECT_GT(files, 0);
  EXPECT_FALSE(std::filesystem::exists(out / "trainer_state")) << "a release holds no optimizer";
}

TEST_P(Contract, EveryCheckpointIsRankedBelowOrAboveTheBase) {
  RunConfig config = world().config;
  world().memorised();
  config.run = world().run_of("lm").run;
  config.train.method = "full";
  const auto report = run_eval(config, adapter(), {});
  ASSERT_EQ(report["checkpoints"].size(), 2u);
  EXPECT_EQ(report["checkpoints"][0]["name"], "base");
  EXPECT_LT(report["checkpoints"][1]["loss"], report["checkpoints"][0]["loss"]);
  EXPECT_EQ(report["best"], report["checkpoints"][1]["name"]);
}

INSTANTIATE_TEST_SUITE_P(Models, Contract, testing::ValuesIn(all_models()), test_name);

}  // namespace
}  // namespace ttsft
