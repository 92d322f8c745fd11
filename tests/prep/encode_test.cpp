#include "src/prep/encode.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "prep/toy_preparer.h"

namespace ttsft {
namespace {

std::vector<std::vector<size_t>> cut(const std::vector<size_t>& lengths, int64_t budget) {
  ToyLog log;
  const ToyPreparer preparer("", budget, log);
  std::vector<Clip> clips(lengths.size());
  std::vector<Clip*> pointers;
  for (size_t i = 0; i < lengths.size(); ++i) {
    clips[i].item.wave.resize(lengths[i]);
    pointers.push_back(&clips[i]);
  }
  std::vector<std::vector<size_t>> batches;
  for (const auto& batch : cut_batches(pointers, preparer)) {
    batches.emplace_back();
    for (const Clip* clip : batch) batches.back().push_back(clip->item.wave.size());
  }
  return batches;
}

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(CutBatches, SortsByLengthAndCountsPaddingIntoTheBudget) {
  EXPECT_THAT(cut({10, 50, 20, 40, 30}, 100),
              ElementsAre(ElementsAre(50, 40), ElementsAre(30, 20, 10)));
}

TEST(CutBatches, ARowAboveTheBudgetIsAlone) {
  EXPECT_THAT(cut({5, 500, 6}, 100), ElementsAre(ElementsAre(500), ElementsAre(6, 5)));
}

TEST(CutBatches, RowsWithoutALengthShareABatch) {
  EXPECT_THAT(cut({0, 0, 0}, 100), ElementsAre(ElementsAre(0, 0, 0)));
  EXPECT_THAT(cut({}, 100), IsEmpty());
}

}  // namespace
}  // namespace ttsft
