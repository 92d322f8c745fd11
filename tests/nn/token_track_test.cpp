#include "ttsft/nn/token_track.h"

#include <gtest/gtest.h>

#include "tests/support/tensor_test.h"

namespace ttsft {
namespace {

using test::expect_equal;

torch::Tensor ids(const std::vector<int64_t>& values) {
  return torch::tensor(values, torch::kInt64);
}

TEST(TokenTrack, EachInputPredictsTheNext) {
  TokenTrackBuilder builder;
  const std::vector<int64_t> text = {7, 8, 9}, more = {5};
  EXPECT_EQ(builder.add(text, 10, 0, std::nullopt), 13) << "the last predicts nothing";
  EXPECT_EQ(builder.add(more, 20, 1, 6), 21) << "the last predicts what is given";
  const TokenTrack track = builder.build();
  expect_equal(track.ids, ids({7, 8, 9, 5}));
  expect_equal(track.offset, ids({0, 1, 2, 0}));
  expect_equal(track.position, ids({10, 11, 12, 20}));
  expect_equal(track.label, ids({8, 9, 6}));
  expect_equal(track.label_position, ids({10, 11, 20}));
  expect_equal(track.label_row, ids({0, 0, 1}));
}

TEST(TokenTrack, WithoutLabelsTheInputsStay) {
  TokenTrackBuilder builder;
  const std::vector<int64_t> text = {7, 8};
  builder.add(text, 0, 0, 9, /*with_labels=*/false);
  const TokenTrack track = builder.build();
  expect_equal(track.ids, ids({7, 8}));
  EXPECT_EQ(track.label.numel(), 0);
}

TEST(TokenTrack, ShowsAllItsTensors) {
  TokenTrackBuilder builder;
  builder.add(std::vector<int64_t>{7, 8}, 0, 0, 9);
  TokenTrack track = builder.build();
  track.each([](torch::Tensor& tensor) { tensor = tensor.to(torch::kMeta); });
  for (const torch::Tensor& tensor : {track.ids, track.offset, track.position, track.label,
                                      track.label_position, track.label_row})
    EXPECT_TRUE(tensor.is_meta());
}

}  // namespace
}  // namespace ttsft
