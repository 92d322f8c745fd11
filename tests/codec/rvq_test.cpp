#include "ttsft/codec/rvq.h"

#include <gtest/gtest.h>

#include "tests/support/tensor_test.h"

namespace ttsft {
namespace {

using test::expect_close;
using test::expect_equal;

torch::Tensor slow_nearest(const torch::Tensor& vectors, const torch::Tensor& table) {
  const torch::Tensor v = vectors.to(torch::kFloat64), e = table.to(torch::kFloat64);
  return (v.unsqueeze(1) - e.unsqueeze(0)).square().sum(-1).argmin(-1);
}

void fill(ResidualQuantizer& quantizer) {
  torch::manual_seed(7);
  for (auto& buffer : quantizer->named_buffers()) {
    const bool usage = buffer.key().ends_with("usage");
    buffer.value().copy_(usage ? torch::rand(buffer.value().sizes()) + 0.5
                               : torch::randn(buffer.value().sizes()));
  }
  for (auto& parameter : quantizer->named_parameters()) {
    parameter.value().copy_(torch::randn(parameter.value().sizes()));
  }
}

TEST(NearestRows, AgreesWithExactDistances) {
  torch::manual_seed(1);
  const torch::Tensor v = torch::randn({300, 12}), table = torch::randn({64, 12});
  expect_equal(nearest_rows(v, table, row_norms(table)), slow_nearest(v, table));
}

TEST(NearestRows, FirstOfEqualsWins) {
  torch::Tensor table = torch::zeros({40, 3});
  table.select(0, 0).fill_(5);  // 39 equal entries behind it
  const torch::Tensor v = torch::full({4, 3}, 0.1f);
  expect_equal(nearest_rows(v, table, row_norms(table)), torch::ones({4}, torch::kInt64));
}

// Far from the origin the expanded formula cancels: float32 sees ties, the true distances decide.
TEST(NearestRows, NearTiesAreDecidedByTrueDistance) {
  const float far = 1000.0f;
  torch::Tensor table = torch::full({5, 2}, far);
  for (int64_t i = 0; i < 5; ++i) table[i][0] += 0.01f * static_cast<float>(5 - i);
  torch::Tensor v = torch::full({5, 2}, far);
  for (int64_t i = 0; i < 5; ++i) v[i][0] += 0.01f * static_cast<float>(i + 1) + 0.002f;
  expect_equal(nearest_rows(v, table, row_norms(table)),
               torch::tensor({4, 3, 2, 1, 0}, torch::kInt64));
}

TEST(NearestRows, MoreRowsThanOneBlock) {
  torch::manual_seed(2);
  const torch::Tensor v = torch::randn({9000, 4}), table = torch::randn({16, 4});
  expect_equal(nearest_rows(v, table, row_norms(table)), slow_nearest(v, table));
}

TEST(EmaCodebook, EntriesAreMeansWithAFloorUnderTheUsage) {
  EmaCodebook codebook(3, 2, CodebookNames{.sum = "embedding_sum"});
  auto buffers = codebook->named_buffers();
  ASSERT_TRUE(buffers.contains("embedding_sum") && buffers.contains("cluster_usage"));
  buffers["embedding_sum"].copy_(torch::tensor({{2.0f, 4.0f}, {1.0f, 0.0f}, {1e-5f, 0.0f}}));
  buffers["cluster_usage"].copy_(torch::tensor({2.0f, 4.0f, 0.0f}));
  expect_close(codebook->table(), torch::tensor({{1.0f, 2.0f}, {0.25f, 0.0f}, {1.0f, 0.0f}}), 1e-6);
  expect_close(codebook->squared_norms(), torch::tensor({5.0f, 0.0625f, 1.0f}), 1e-6);
}

TEST(ResidualQuantizer, NamesFollowTheOptions) {
  ResidualQuantizer encoder(RvqOptions{
      .channels = 8, .codebook_dim = 4, .codebook_size = 16, .levels = 2, .input_proj = true});
  EXPECT_TRUE(encoder->named_buffers().contains("layers.1.codebook.embed_sum"));
  EXPECT_TRUE(encoder->named_parameters().contains("input_proj.weight"));
  EXPECT_EQ(encoder->named_parameters().size(), 1u);

  ResidualQuantizer decoder(RvqOptions{.channels = 8,
                                       .codebook_dim = 4,
                                       .codebook_size = 16,
                                       .levels = 2,
                                       .output_proj = true,
                                       .layers = {"vq", "layers"},
                                       .codebook = "_codebook",
                                       .names = {.sum = "embedding_sum"}});
  EXPECT_TRUE(decoder->named_buffers().contains("vq.layers.0._codebook.embedding_sum"));
  EXPECT_TRUE(decoder->named_buffers().contains("vq.layers.1._codebook.cluster_usage"));
  EXPECT_TRUE(decoder->named_parameters().contains("output_proj.weight"));
}

TEST(ResidualQuantizer, EachLevelQuantisesWhatIsLeft) {
  ResidualQuantizer quantizer(
      RvqOptions{.channels = 4, .codebook_dim = 4, .codebook_size = 32, .levels = 3});
  fill(quantizer);
  const torch::Tensor x = torch::randn({50, 4});
  const torch::Tensor codes = quantizer->encode(x);  // [50, 3]
  ASSERT_EQ(test::shape_of(codes), "[50, 3]");
  const auto buffers = quantizer->named_buffers();
  torch::Tensor rest = x;
  for (int64_t level = 0; level < 3; ++level) {
    const std::string layer = "layers." + std::to_string(level) + ".codebook.";
    const torch::Tensor table =
        buffers[layer + "embed_sum"] / buffers[layer + "cluster_usage"].unsqueeze(-1);
    expect_equal(codes.select(1, level), slow_nearest(rest, table), layer);
    rest = rest - table.index_select(0, codes.select(1, level));
  }
  expect_close(quantizer->decode(codes), x - rest, 1e-5, "decode is the sum of the entries");
  expect_close(quantizer->decode(codes.view({5, 10, 3})), (x - rest).view({5, 10, 4}), 1e-5);
}

TEST(ResidualQuantizer, ProjectionsStandOutside) {
  const RvqOptions bare{.channels = 4, .codebook_dim = 4, .codebook_size = 32, .levels = 2};
  RvqOptions options = bare;
  options.channels = 6;
  options.input_proj = options.output_proj = true;
  ResidualQuantizer inner(bare), outer(options);
  fill(outer);
  for (auto& buffer : inner->named_buffers()) {
    buffer.value().copy_(outer->named_buffers()[buffer.key()]);
  }
  const torch::Tensor x = torch::randn({20, 6});
  const auto weight = [&](const char* name) { return outer->named_parameters()[name].squeeze(-1); };
  const torch::Tensor codes = outer->encode(x);
  expect_equal(codes, inner->encode(torch::linear(x, weight("input_proj.weight"))));
  expect_close(outer->decode(codes),
               torch::linear(inner->decode(codes), weight("output_proj.weight")), 1e-4);
}

}  // namespace
}  // namespace ttsft
