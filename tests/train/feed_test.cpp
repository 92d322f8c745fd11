#include "src/train/feed.h"

#include <set>

#include "train_support.h"

namespace ttsft {
namespace {

// Notes the seed of every training batch; a plain batch has none.
struct SeededStage : test::ToyStage {
  using test::ToyStage::ToyStage;
  std::unique_ptr<Batch> collate(std::span<const Sample* const> rows,
                                 const Draw& draw) const override {
    auto batch = ToyStage::collate(rows, draw);
    if (draw.training) batch->supervised["seed"] = static_cast<double>(draw.seed >> 12);
    batch->supervised["step"] = static_cast<double>(draw.step);
    return batch;
  }
};

struct FeedTest : ::testing::Test {
  FeedTest() {
    for (int64_t i = 0; i < 5; ++i) {
      auto sample = std::make_unique<test::ToySample>();
      sample->id = "clip" + std::to_string(i);
      sample->ids = {1, 2, 3};
      sample->length = 3;
      samples.push_back(std::move(sample));
    }
    options.batch_utterances = 2;
    options.shuffle = false;
  }
  test::ToyStage stage{test::ToyModule(), {}};
  Samples samples;
  SamplerOptions options;
};

TEST_F(FeedTest, AStepEndsWithItsEpoch) {
  Feed feed(stage, samples, options, 2, torch::kCPU);  // batches of 2, 2, 1 clips
  EXPECT_EQ(feed.steps_in_epoch(0), 2);
  const StepBatches first = feed.next(), second = feed.next(), third = feed.next();
  EXPECT_EQ(first.ids(), (std::vector<std::string>{"clip0", "clip1", "clip2", "clip3"}));
  EXPECT_EQ(first.next, (Position{0, 2}));
  EXPECT_EQ(second.ids(), std::vector<std::string>{"clip4"});
  EXPECT_EQ(second.next, (Position{1, 0}));
  EXPECT_EQ(third.ids(), first.ids());
  EXPECT_EQ(first.supervised().at("main"), 8);
  EXPECT_EQ(first.supervised().at("sub"), 16);
}

TEST_F(FeedTest, SeekContinuesInsideAnEpoch) {
  options.shuffle = true;
  Feed through(stage, samples, options, 1, torch::kCPU);
  std::vector<StepBatches> steps;
  for (int i = 0; i < 8; ++i) steps.push_back(through.next());
  Feed resumed(stage, samples, options, 1, torch::kCPU);
  EXPECT_EQ(resumed.next().ids(), steps[0].ids());
  resumed.seek(steps[3].next);
  for (size_t i = 4; i < 8; ++i) EXPECT_EQ(resumed.next().ids(), steps[i].ids()) << i;
}

TEST_F(FeedTest, RandomChoicesHangOnTheSeedAndThePlace) {
  const SeededStage seeded{test::ToyModule(), {}};
  const auto seeds = [&](Feed& feed, int count) {
    std::vector<double> found;
    for (int i = 0; i < count; ++i)
      for (const auto& batch : feed.next().batches) found.push_back(batch->supervised.at("seed"));
    return found;
  };
  Feed feed(seeded, samples, options, 1, torch::kCPU);
  const std::vector<double> through = seeds(feed, 6);  // two epochs
  EXPECT_EQ(std::set<double>(through.begin(), through.end()).size(), 6u);
  Feed resumed(seeded, samples, options, 1, torch::kCPU);
  resumed.seek({1, 1}, 5);
  EXPECT_EQ(seeds(resumed, 2), (std::vector<double>{through[4], through[5]}));
  resumed.seek({1, 1}, 5);
  EXPECT_EQ(resumed.next().batches.front()->supervised.at("step"), 5);
  EXPECT_EQ(resumed.next().step, 6);
  Feed accumulated(seeded, samples, options, 2, torch::kCPU);
  EXPECT_EQ(seeds(accumulated, 2), (std::vector<double>(through.begin(), through.begin() + 3)));
  options.seed = 2;
  Feed other(seeded, samples, options, 1, torch::kCPU);
  EXPECT_NE(seeds(other, 1).front(), through.front());

  Feed validation(seeded, samples, options, 1, torch::kCPU, Feed::Purpose::kValidation);
  EXPECT_FALSE(validation.next().batches.front()->supervised.contains("seed"));
}

TEST_F(FeedTest, BatchesComeOnTheDevice) {
  Feed feed(stage, samples, options, 2, torch::kMeta);
  for (const auto& batch : feed.next().batches) {
    int64_t tensors = 0;
    batch->each([&](torch::Tensor& tensor) {
      if (!tensor.defined()) return;
      EXPECT_TRUE(tensor.is_meta());
      ++tensors;
    });
    EXPECT_EQ(tensors, 4);
  }
}

TEST_F(FeedTest, WhatCollationThrowsComesWithTheBatch) {
  struct Broken : test::ToyStage {
    using test::ToyStage::ToyStage;
    std::unique_ptr<Batch> collate(std::span<const Sample* const>, const Draw&) const override {
      throw DataError("no such file", "clip0");
    }
  };
  const Broken broken{test::ToyModule(), {}};
  Feed feed(broken, samples, options, 1, torch::kCPU);
  EXPECT_THROW(feed.next(), DataError);
}

TEST_F(FeedTest, IdListNamesAFew) {
  EXPECT_EQ(id_list({"a", "b"}), "a, b");
  EXPECT_EQ(id_list({"1", "2", "3", "4", "5", "6", "7", "8", "9", "10"}),
            "1, 2, 3, 4, 5, 6, 7, 8 and 2 more");
}

}  // namespace
}  // namespace ttsft
