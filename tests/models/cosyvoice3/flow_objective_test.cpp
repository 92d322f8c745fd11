// Losses of the flow, and four steps of AdamW, against upstream's.
#include "models/cosyvoice3/flow_objective.h"

#include <gtest/gtest.h>

#include "tests/models/cosyvoice3/cosyvoice3_fixture.h"
#include "tests/support/temporary_folder.h"
#include "ttsft/io/torch_file.h"
#include "ttsft/model/loss_sums.h"
#include "ttsft/nn/weights.h"
#include "ttsft/train/optimizer.h"

namespace ttsft::cosyvoice3::test {
namespace {

const std::vector<std::string> kClips = {"a", "c", "ref"};
constexpr int64_t kChunk = 50;

class FlowObjectiveTest : public testing::Test {
 protected:
  FlowObjectiveTest() {
    const auto recorded = [](const std::string& name) {
      return expected("flow_train", "batch." + name);
    };
    std::vector<std::pair<std::string, torch::Tensor>> draws;
    for (size_t i = 0; i < kClips.size(); ++i) {
      const auto at = static_cast<int64_t>(i);
      FlowSample& sample = samples_.emplace_back();
      sample.id = kClips[i];
      sample.codes = expected("prep", sample.id + ".speech_token").flatten().to(torch::kInt64);
      sample.mel = expected("prep", sample.id + ".speech_feat");
      sample.embedding = expected("prep", sample.id + ".utt_embedding");
      const auto one = [&](const std::string& name) {
        return recorded(name).narrow(0, at, 1).to(torch::kFloat32).contiguous();
      };
      draws.emplace_back(sample.id + ".t", one("t"));
      draws.emplace_back(
          sample.id + ".z",
          recorded("z")[at].narrow(1, 0, sample.mel.size(0)).to(torch::kFloat32).contiguous());
      draws.emplace_back(sample.id + ".keep", one("cfg_keep"));
      draws.emplace_back(sample.id + ".cond_frames", one("cond_frames"));
    }
    save_tensors(folder_ / "draws.safetensors", draws);
    replay_ = std::make_unique<Replay>(folder_ / "draws.safetensors");
  }

  FlowBatch batch(FlowMask mask, const std::vector<size_t>& which = {0, 1, 2}) const {
    std::vector<const FlowSample*> rows;
    for (const size_t i : which) rows.push_back(&samples_[i]);
    return collate_flow(rows, Draw{.replay = replay_.get()}, mask);
  }
  LossSums losses(const FlowBatch& of) {
    const torch::NoGradGuard no_grad;
    LossSums sums;
    sums.add(of, flow_loss(flow_, of, kChunk));
    return sums;
  }

  TemporaryFolder folder_;
  std::vector<FlowSample> samples_;
  std::unique_ptr<Replay> replay_;
  Flow flow_ = load_flow(open_tensor_file(fixture().path("checkpoint/flow.pt")), 0.0, torch::kCPU);
};

TEST_F(FlowObjectiveTest, LossesOfBothMasksAreUpstreams) {
  const auto& want = expected_json("eval_flow");
  for (const auto& [mask, name] :
       {std::pair{FlowMask::kFull, "full"}, std::pair{FlowMask::kStreaming, "streaming"}}) {
    LossSums together = losses(batch(mask));
    EXPECT_NEAR(together.totals().loss(), want["batch"][name].get<double>(), 1e-3) << name;
    const auto rows = together.utterances();
    for (size_t i = 0; i < kClips.size(); ++i) {
      const double wanted = want["utts"][kClips[i]][name];
      EXPECT_NEAR(rows.at(kClips[i]).loss(), wanted, 1e-3) << name << " " << kClips[i];
      EXPECT_NEAR(losses(batch(mask, {i})).totals().loss(), wanted, 1e-3) << "alone";
    }
  }
}

// The DiT whole and with its blocks run again in the backward pass.
TEST_F(FlowObjectiveTest, FourStepsAreUpstreams) {
  const auto& want = expected_json("eval_flow")["train_4_steps"];
  for (const bool recompute : {false, true}) {
    flow_ = load_flow(open_tensor_file(fixture().path("checkpoint/flow.pt")), 0.0, torch::kCPU);
    set_activation_checkpointing(*flow_, recompute);
    std::vector<torch::Tensor> weights;
    {
      const torch::NoGradGuard no_grad;
      for (auto& item : flow_->named_parameters()) {
        item.value().set_data(item.value().detach().clone());  // the file's are mapped
        item.value().requires_grad_(true);
        weights.push_back(item.value());
      }
    }
    torch::optim::AdamW optimizer(weights, torch::optim::AdamWOptions(1e-3).weight_decay(0.01));
    const FlowBatch fixed = batch(FlowMask::kFull);
    for (size_t step = 0; step < 4; ++step) {
      optimizer.zero_grad();
      const torch::Tensor loss = flow_loss(flow_, fixed, kChunk)[0].value.mean();
      EXPECT_NEAR(loss.item<double>(), want["losses"][step].get<double>(), 1e-3) << step;
      loss.backward();
      const double norm = torch::nn::utils::clip_grad_norm_(weights, 1.0);
      EXPECT_NEAR(norm, want["grad_norms"][step].get<double>(), 1e-4 * norm) << step;
      optimizer.step();
    }
  }
}

TEST_F(FlowObjectiveTest, DrawsFollowTheirSharesAndTheSeed) {
  std::vector<const FlowSample*> rows;
  for (const FlowSample& sample : samples_) rows.push_back(&sample);
  int64_t kept = 0, prompted = 0, chunked = 0;
  const int64_t batches = 200;
  for (int64_t i = 0; i < batches; ++i) {
    const Draw draw{.training = true, .seed = static_cast<uint64_t>(i)};
    const FlowBatch one = collate_flow(rows, draw, FlowMask::kRandom);
    kept += static_cast<int64_t>(one.keep.sum().item<double>());
    prompted += one.prompt.flatten(1).abs().sum(1).gt(0).sum().item<int64_t>();
    const auto rows_chunked = one.chunked.sum().item<int64_t>();
    EXPECT_TRUE(rows_chunked == 0 || rows_chunked == 3) << "one choice for a batch";
    chunked += rows_chunked > 0;
    // At most 0.3 of the frames are given.
    const torch::Tensor given = one.prompt.abs().sum(1).gt(0).sum(1);
    for (int64_t b = 0; b < 3; ++b)
      EXPECT_LE(given[b].item<int64_t>(), samples_[static_cast<size_t>(b)].mel.size(0) * 3 / 10);
    const FlowBatch again = collate_flow(rows, draw, FlowMask::kRandom);
    expect_equal(again.z, one.z);
    expect_equal(again.prompt, one.prompt);
  }
  const double all = 3.0 * static_cast<double>(batches);
  EXPECT_NEAR(static_cast<double>(kept) / all, 0.8, 0.06);
  EXPECT_NEAR(static_cast<double>(prompted) / all, 0.5, 0.07);
  EXPECT_NEAR(static_cast<double>(chunked) / static_cast<double>(batches), 0.5, 0.12);
}

}  // namespace
}  // namespace ttsft::cosyvoice3::test
