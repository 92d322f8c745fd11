#include "ttsft/model/recording_preparer.h"

#include <gtest/gtest.h>

namespace ttsft {
namespace {

struct Recorder : RecordingPreparer {
  explicit Recorder(const ModelContext& context) : RecordingPreparer(context, 30) {}
  AudioLimits limits() const override { return {.sample_rate = 24000}; }
  bool needs_audio(const Utterance& utterance) const override { return utterance.text != "coded"; }
  void load(PrepItem&) const override {}
  nlohmann::ordered_json finish(const KeptSet&, const std::filesystem::path&) override {
    return {};
  }
  void encode_recordings(std::span<PrepItem* const> items) override {
    recordings.push_back(items.size());
  }
  void take_encoded(PrepItem& item) override { item.row = "taken"; }

  std::vector<size_t> recordings;
};

TEST(RecordingPreparer, BudgetIsInSecondsOfAudio) {
  RunConfig config;
  EXPECT_EQ(Recorder({config, torch::kCPU}).batch_budget(), 30 * 24000);
  EXPECT_EQ(Recorder({config, torch::kMeta}).batch_budget(), 600 * 24000) << "a device";
  config.data.batch_seconds.value = 12.5;
  EXPECT_EQ(Recorder({config, torch::kCPU}).batch_budget(), 300000);
  EXPECT_EQ(Recorder({config, torch::kMeta}).batch_budget(), 300000);
}

TEST(RecordingPreparer, RowsThatBringTheirCodesAreTaken) {
  RunConfig config;
  Recorder preparer({config, torch::kCPU});
  Utterance coded, spoken;
  coded.text = "coded";
  PrepItem a, b, c;
  a.utterance = &coded;
  b.utterance = &spoken;
  c.utterance = &spoken;
  std::vector<PrepItem*> batch = {&b, &a, &c};
  preparer.encode(batch);
  EXPECT_EQ(a.row, "taken");
  EXPECT_EQ(preparer.recordings, std::vector<size_t>{2});
  batch = {&a};
  preparer.encode(batch);
  EXPECT_EQ(preparer.recordings, std::vector<size_t>{2}) << "nothing is encoded without recordings";
}

}  // namespace
}  // namespace ttsft
