#include "ttsft/nn/conformer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "tests/support/random_weights.h"
#include "tests/support/tensor_test.h"

namespace ttsft {
namespace {

using test::expect_close;
using test::random;
using ::testing::UnorderedElementsAre;

// The layer as the papers write it: in double, one head, one query and one key at a time. Frames
// whose key is masked are left out of the sums.
class NaiveLayer {
 public:
  NaiveLayer(torch::nn::Module& module, const ConformerOptions& options) : o_(options) {
    for (const auto& item : module.named_parameters()) {
      weights_[item.key()] = item.value().detach().to(torch::kFloat64);
    }
  }

  torch::Tensor forward(torch::Tensor x, const std::vector<bool>& keys) const {  // [T, D]
    x = x.to(torch::kFloat64);
    x = x + attention(norm(x, "norm_mha"), keys);
    if (o_.conv_kernel > 0) x = x + convolution(norm(x, "norm_conv"), keys);
    const torch::Tensor up = linear(norm(x, "norm_ff"), "feed_forward.w_1");
    x = x + linear(up * torch::sigmoid(up), "feed_forward.w_2");
    return o_.conv_kernel > 0 ? norm(x, "norm_final") : x;
  }

 private:
  torch::Tensor w(const std::string& name) const { return weights_.at(name); }
  torch::Tensor linear(const torch::Tensor& x, const std::string& name) const {
    const torch::Tensor y = torch::matmul(x, w(name + ".weight").flatten(1).t());
    return weights_.contains(name + ".bias") ? y + w(name + ".bias") : y;
  }
  torch::Tensor norm(const torch::Tensor& x, const std::string& name) const {
    const torch::Tensor centred = x - x.mean(-1, true);
    const torch::Tensor scale = (centred.square().mean(-1, true) + o_.norm_eps).sqrt();
    return centred / scale * w(name + ".weight") + w(name + ".bias");
  }

  // The vector of one position, by the definition of sinusoidal encodings.
  torch::Tensor position(double p) const {
    torch::Tensor row = torch::empty({1, o_.dim}, torch::kFloat64);
    for (int64_t c = 0; c < o_.dim; ++c) {
      const double angle = p * std::pow(10000.0, -double(c - c % 2) / double(o_.dim));
      row[0][c] = c % 2 ? std::cos(angle) : std::sin(angle);
    }
    return row;
  }

  torch::Tensor attention(const torch::Tensor& x, const std::vector<bool>& keys) const {
    const torch::Tensor q = linear(x, "self_attn.linear_q"), k = linear(x, "self_attn.linear_k");
    const torch::Tensor v = linear(x, "self_attn.linear_v");
    const torch::Tensor u = w("self_attn.pos_bias_u"), b = w("self_attn.pos_bias_v");
    const int64_t time = x.size(0), size = o_.dim / o_.heads;
    torch::Tensor out = torch::zeros_like(x);
    for (int64_t h = 0; h < o_.heads; ++h) {
      const auto head = [&](const torch::Tensor& row) { return row.narrow(0, h * size, size); };
      for (int64_t i = 0; i < time; ++i) {
        std::vector<double> weight;
        double sum = 0;
        for (int64_t j = 0; j < time; ++j) {
          const double p = o_.rel_shift ? double(i - j) : double(j);
          const torch::Tensor r = linear(position(p), "self_attn.linear_pos")[0];
          const double score =
              ((head(q[i]) + u[h]).dot(head(k[j])) + (head(q[i]) + b[h]).dot(head(r)))
                  .item<double>();
          weight.push_back(keys[size_t(j)] ? std::exp(score / std::sqrt(double(size))) : 0);
          sum += weight.back();
        }
        for (int64_t j = 0; j < time; ++j) head(out[i]) += head(v[j]) * (weight[size_t(j)] / sum);
      }
    }
    return linear(out, "self_attn.linear_out");
  }

  torch::Tensor convolution(torch::Tensor x, const std::vector<bool>& keys) const {
    const int64_t time = x.size(0), half = o_.conv_kernel / 2;
    x = x.clone();
    for (int64_t t = 0; t < time; ++t) {
      if (!keys[size_t(t)]) x[t].zero_();
    }
    const torch::Tensor wide = linear(x, "conv_module.pointwise_conv1");
    const torch::Tensor gated =
        wide.narrow(1, 0, o_.dim) * torch::sigmoid(wide.narrow(1, o_.dim, o_.dim));
    const torch::Tensor kernel = w("conv_module.depthwise_conv.weight");  // [D, 1, K]
    torch::Tensor y = torch::zeros_like(gated);
    for (int64_t t = 0; t < time; ++t) {
      for (int64_t n = -half; n <= half; ++n) {
        if (t + n < 0 || t + n >= time) continue;
        y[t] += gated[t + n] * kernel.select(1, 0).select(1, n + half);
      }
    }
    y = norm(y + w("conv_module.depthwise_conv.bias"), "conv_module.norm");
    y = linear(y * torch::sigmoid(y), "conv_module.pointwise_conv2");
    for (int64_t t = 0; t < time; ++t) {
      if (!keys[size_t(t)]) y[t].zero_();
    }
    return y;
  }

  ConformerOptions o_;
  std::map<std::string, torch::Tensor> weights_;
};

ConformerOptions small(bool rel_shift, int64_t kernel) {
  ConformerOptions options{12, 3, 20};
  options.rel_shift = rel_shift;
  options.conv_kernel = kernel;
  return options;
}

torch::Tensor table(const ConformerOptions& options, int64_t frames) {
  return options.rel_shift ? relative_positions(frames, options.dim, torch::kFloat32)
                           : absolute_positions(frames, options.dim, torch::kFloat32);
}

torch::Tensor flags(const std::vector<std::vector<bool>>& rows) {
  torch::Tensor mask = torch::zeros({int64_t(rows.size()), int64_t(rows[0].size())}, torch::kBool);
  for (size_t b = 0; b < rows.size(); ++b) {
    for (size_t t = 0; t < rows[b].size(); ++t) mask[int64_t(b)][int64_t(t)] = bool(rows[b][t]);
  }
  return mask;
}

TEST(Conformer, EqualsItsDefinition) {
  for (const bool rel_shift : {true, false}) {
    for (const int64_t kernel : {0, 5}) {
      const ConformerOptions options = small(rel_shift, kernel);
      ConformerLayer layer(options);
      test::randomize(*layer);
      const torch::Tensor x = random({2, 7, 12}, 3);
      const NaiveLayer naive(*layer, options);
      const std::vector<bool> all(7, true), most{true, true, true, false, true, true, false};
      const torch::Tensor y = layer(x, table(options, 7));
      expect_close(y[0], naive.forward(x[0], all), 2e-5);
      expect_close(y[1], naive.forward(x[1], all), 2e-5);
      const torch::Tensor masked =
          layer(x, table(options, 7), ConformerMask{flags({all, most}), {}});
      expect_close(masked[0], naive.forward(x[0], all), 2e-5);
      expect_close(masked[1], naive.forward(x[1], most), 2e-5);
    }
  }
}

TEST(Conformer, PaddedRowsComeOutAsAlone) {
  for (const bool rel_shift : {true, false}) {
    const ConformerOptions options = small(rel_shift, 5);
    ConformerLayer layer(options);
    test::randomize(*layer);
    const torch::Tensor x = random({2, 9, 12}, 4);
    // The second row has six frames, the last of which upstream's mask leaves out.
    const std::vector<bool> all(9, true),
        six{true, true, true, true, true, true, false, false, false};
    std::vector<bool> five = six;
    five[5] = false;
    const torch::Tensor y =
        layer(x, table(options, 9), ConformerMask{flags({all, five}), flags({all, six})});
    const torch::Tensor keys = flags({{true, true, true, true, true, false}});
    const torch::Tensor alone =
        layer(x.narrow(0, 1, 1).narrow(1, 0, 6), table(options, 6), ConformerMask{keys, {}});
    expect_close(y[1].narrow(0, 0, 6), alone[0], 2e-6);
    expect_close(y[0], layer(x.narrow(0, 0, 1), table(options, 9))[0], 2e-6);
  }
}

TEST(Conformer, RowsAloneMaskTheKeysToo) {
  const ConformerOptions options = small(true, 0);
  ConformerLayer layer(options);
  test::randomize(*layer);
  const torch::Tensor x = random({1, 5, 12}, 4);
  const torch::Tensor rows = flags({{true, true, true, false, false}});
  const torch::Tensor y = layer(x, table(options, 5), ConformerMask{{}, rows});
  expect_close(y[0].narrow(0, 0, 3), layer(x.narrow(1, 0, 3), table(options, 3))[0], 2e-6);
}

TEST(Conformer, NamesAreUpstreams) {
  const auto names = [](ConformerLayer layer) {
    std::vector<std::string> all;
    for (const auto& item : layer->named_children()) all.push_back(item.key());
    return all;
  };
  EXPECT_THAT(names(ConformerLayer(small(true, 0))),
              UnorderedElementsAre("self_attn", "feed_forward", "norm_mha", "norm_ff"));
  EXPECT_THAT(names(ConformerLayer(small(true, 3))),
              UnorderedElementsAre("self_attn", "feed_forward", "norm_mha", "norm_ff",
                                   "conv_module", "norm_conv", "norm_final"));
}

TEST(Conformer, PositionsOfTables) {
  const torch::Tensor relative = relative_positions(3, 6, torch::kFloat32)[0];  // [5, 6]
  const torch::Tensor absolute = absolute_positions(3, 6, torch::kFloat32)[0];  // [3, 6]
  expect_close(relative[2], absolute[0], 0, "position 0");
  expect_close(relative[0], absolute[2], 0, "position 2 comes first");
  const torch::Tensor mirrored = absolute[2] * torch::tensor({-1.f, 1.f, -1.f, 1.f, -1.f, 1.f});
  expect_close(relative[4], mirrored, 0, "position -2 comes last");
}

TEST(Conformer, RefusesWrongUse) {
  ConformerOptions options = small(true, 0);
  ConformerLayer layer(options);
  test::randomize(*layer);
  EXPECT_THROW(layer(random({1, 4, 12}, 1), absolute_positions(4, 12, torch::kFloat32)),
               std::logic_error);
  options.heads = 5;
  EXPECT_THROW(ConformerLayer{options}, std::logic_error);
  EXPECT_THROW(ConformerLayer{small(true, 4)}, std::logic_error);
}

}  // namespace
}  // namespace ttsft
