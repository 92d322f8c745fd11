#include "ttsft/nn/conv.h"

#include <gtest/gtest.h>

#include "tests/support/tensor_test.h"

namespace ttsft {
namespace {

using test::expect_close;

template <typename Holder>
Holder filled(Holder module) {
  torch::manual_seed(5);
  for (auto& parameter : module->parameters()) {
    parameter.set_data(torch::randn(parameter.sizes()));
  }
  return module;
}

// Upstream's recipe, word for word: pad left, complete the last window on the right, convolve.
torch::Tensor padded_by_hand(CausalConv1d& module, const ConvOptions& o, const torch::Tensor& x,
                             const char* mode) {
  const int64_t left = o.effective_kernel() - o.stride;
  const int64_t right = (o.stride - x.size(-1) % o.stride) % o.stride;
  const std::string kind = mode;
  const torch::Tensor padded = kind == "zeros" ? torch::constant_pad_nd(x, {left, right})
                                               : torch::replication_pad1d(x, {left, right});
  const auto p = module->named_parameters();
  const std::vector<int64_t> no_padding = {0};
  return torch::conv1d(padded, p["conv.weight"], o.bias ? p["conv.bias"] : torch::Tensor(),
                       o.stride, no_padding, o.dilation, o.groups);
}

std::vector<ConvOptions> shapes() {
  return {{.in = 3, .out = 4, .kernel = 7},
          {.in = 3, .out = 4, .kernel = 1},
          {.in = 4, .out = 4, .kernel = 7, .dilation = 9},
          {.in = 3, .out = 4, .kernel = 8, .stride = 4},
          {.in = 3, .out = 4, .kernel = 5, .stride = 4},  // completes more than it pads
          {.in = 3, .out = 4, .kernel = 4, .stride = 4, .bias = false},
          {.in = 4, .out = 4, .kernel = 7, .groups = 4}};
}

TEST(CausalConv1d, EqualsPaddingByHand) {
  for (const ConvOptions& o : shapes()) {
    for (int64_t time = 1; time <= 13; ++time) {
      CausalConv1d zeros = filled(CausalConv1d(o));
      CausalConv1d edges = filled(CausalConv1d(o, EdgePadding::kReplicate));
      const torch::Tensor x = torch::randn({2, o.in, time});
      const std::string what =
          "kernel " + std::to_string(o.kernel) + " time " + std::to_string(time);
      EXPECT_EQ(zeros(x).size(2), (time + o.stride - 1) / o.stride) << what;
      expect_close(zeros(x), padded_by_hand(zeros, o, x, "zeros"), 1e-5, what);
      expect_close(edges(x), padded_by_hand(edges, o, x, "edges"), 1e-5, what);
    }
  }
}

TEST(CausalConv1d, RowsOfUnequalLengthEqualTheRowsAlone) {
  for (const EdgePadding edge : {EdgePadding::kZeros, EdgePadding::kReplicate}) {
    for (const ConvOptions& o : shapes()) {
      CausalConv1d conv = filled(CausalConv1d(o, edge));
      const RowLengths lengths = {13, 12, 11, 10, 9, 2, 1};
      torch::Tensor x = torch::randn({static_cast<int64_t>(lengths.size()), o.in, 13});
      zero_beyond_(x, lengths);
      RowLengths frames = lengths;
      const torch::Tensor y = conv->forward_rows(x, frames);
      for (int64_t b = 0; b < x.size(0); ++b) {
        const torch::Tensor alone = conv(x[b].narrow(1, 0, lengths[b]).unsqueeze(0))[0];
        ASSERT_EQ(frames[b], alone.size(1));
        expect_close(y[b].narrow(1, 0, frames[b]), alone, 1e-5, "row " + std::to_string(b));
        const torch::Tensor rest = y[b].narrow(1, frames[b], y.size(2) - frames[b]);
        EXPECT_TRUE(rest.eq(0).all().item<bool>());
      }
    }
  }
}

TEST(CausalConv1d, PiecesEqualTheWhole) {
  const ConvOptions first{.in = 3, .out = 4, .kernel = 7, .dilation = 3};
  const ConvOptions up{.in = 4, .out = 2, .kernel = 8, .stride = 4};
  const ConvOptions apart{.in = 2, .out = 2, .kernel = 3, .stride = 3};
  CausalConv1d conv = filled(CausalConv1d(first)),
               last = filled(CausalConv1d(ConvOptions{.in = 2, .out = 1}));
  CausalConvTranspose1d wide = filled(CausalConvTranspose1d(up));
  CausalConvTranspose1d narrow = filled(CausalConvTranspose1d(apart));
  const auto run = [&](const torch::Tensor& x, ConvStream* stream) {
    if (stream) stream->next_piece();
    return last(narrow(wide(conv(x, stream), stream), stream), stream);
  };
  const torch::Tensor x = torch::randn({2, 3, 24});
  const torch::Tensor whole = run(x, nullptr);
  ConvStream stream;
  for (int round = 0; round < 2; ++round) {
    std::vector<torch::Tensor> pieces;
    for (const auto& [from, count] : {std::pair{0, 1}, {1, 2}, {3, 14}, {17, 7}})
      pieces.push_back(run(x.narrow(2, from, count), &stream));
    expect_close(torch::cat(pieces, 2), whole, 1e-5, "round " + std::to_string(round));
    stream.forget();
  }
  ConvStream fresh;
  CausalConv1d strided =
      filled(CausalConv1d(ConvOptions{.in = 3, .out = 3, .kernel = 4, .stride = 2}));
  EXPECT_THROW(strided(x, &fresh), std::logic_error);
}

TEST(CausalConv1d, WrongUse) {
  EXPECT_THROW(CausalConv1d(ConvOptions{.in = 1, .out = 1, .kernel = 2, .stride = 3}),
               std::logic_error);
  torch::Tensor x = torch::zeros({2, 1, 4});
  EXPECT_THROW(zero_beyond_(x, {4}), std::logic_error);
}

TEST(CausalConvTranspose1d, CutsTheLastSamplesAndIsCausal) {
  for (const int64_t kernel : {2, 3, 4}) {
    const ConvOptions o{.in = 3, .out = 2, .kernel = kernel, .stride = 2};
    CausalConvTranspose1d up = filled(CausalConvTranspose1d(o));
    const auto p = up->named_parameters();
    ASSERT_EQ(test::shape_of(p["conv.weight"]), "[3, 2, " + std::to_string(kernel) + "]");
    const torch::Tensor x = torch::randn({2, 3, 6});
    const torch::Tensor full = torch::conv_transpose1d(x, p["conv.weight"], p["conv.bias"], 2);
    EXPECT_EQ(full.size(2), 12 + kernel - 2);
    expect_close(up(x), full.narrow(2, 0, 12), 1e-6);
    expect_close(up(x.narrow(2, 0, 4)), up(x).narrow(2, 0, 8), 1e-6, "causal");
  }
}

TEST(ModuleGroup, NamesMayHaveGaps) {
  ModuleGroup layers;
  layers->add(0, Conv1d(ConvOptions{.in = 1, .out = 1}));
  layers->add(3, Conv1d(ConvOptions{.in = 1, .out = 1, .bias = false}));
  const auto parameters = layers->named_parameters();
  EXPECT_TRUE(parameters.contains("0.weight") && parameters.contains("0.bias"));
  EXPECT_TRUE(parameters.contains("3.weight"));
  EXPECT_EQ(parameters.size(), 3u);
}

}  // namespace
}  // namespace ttsft
