#include "ttsft/model/language_stage.h"

#include <gtest/gtest.h>

#include "support/tensor_test.h"
#include "support/toy_stage.h"

namespace ttsft {
namespace {

// Notes how many positions it is fed at a time.
struct CountingStage : test::ToyStage {
  using test::ToyStage::ToyStage;
  Sequence sequence(const Batch& batch) override {
    Sequence whole = ToyStage::sequence(batch);
    return {whole.inputs, whole.places.slice(0, 2), whole.targets.slice(0, 2)};
  }
  Forward decoder(int64_t capacity, const torch::Tensor& like) override {
    return [this, decode = ToyStage::decoder(capacity, like)](const torch::Tensor& x) {
      fed.push_back(x.size(1));
      return decode(x);
    };
  }
  std::vector<int64_t> fed;
};

TEST(LanguageStage, ProbesArePrefillThenOnePositionAtATime) {
  test::ToyModule module;
  torch::Generator generator = make_generator(torch::kCPU, 3);
  {
    torch::NoGradGuard no_grad;
    for (const auto& item : module->named_parameters()) item.value().uniform_(-1, 1, generator);
  }
  CountingStage stage{module, {}};
  const auto sample = stage.random_sample(3);  // 9 tokens: places 2 to 7 predict
  const Probe train = stage.train_probe(*sample), decode = stage.decode_probe(*sample);
  EXPECT_EQ(stage.fed, (std::vector<int64_t>{3, 1, 1, 1, 1, 1}));
  EXPECT_EQ(train.logits.sizes(), (torch::IntArrayRef{6, test::kToyVocabulary}));
  test::expect_close(decode.logits, train.logits, 1e-5);
  EXPECT_TRUE(torch::equal(train.targets, stage.target_codes(*sample).slice(0, 3)));
  EXPECT_TRUE(torch::equal(decode.targets, train.targets));
}

}  // namespace
}  // namespace ttsft
