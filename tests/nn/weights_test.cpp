#include "ttsft/nn/weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/random_weights.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tensor_test.h"
#include "ttsft/core/error.h"
#include "ttsft/nn/layers.h"
#include "ttsft/nn/linear.h"

namespace ttsft {
namespace {

using test::expect_equal;
using test::random;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

using Named = std::vector<std::pair<std::string, torch::Tensor>>;

constexpr torch::Dtype kDtypes[] = {
    torch::kBool,  torch::kUInt8,   torch::kInt8,     torch::kInt16,   torch::kInt32,
    torch::kInt64, torch::kFloat16, torch::kBFloat16, torch::kFloat32, torch::kFloat64};

// proj.weight [3, 4], proj.bias [3], norm.weight [3] and the buffer count [2] of int64.
struct NetImpl : torch::nn::Module {
  NetImpl() {
    proj = register_module("proj", Linear(4, 3, true));
    norm = register_module("norm", RmsNorm(3, 1e-6));
    count = register_buffer("count", torch::zeros({2}, torch::kInt64));
  }
  Linear proj{nullptr};
  RmsNorm norm{nullptr};
  torch::Tensor count;
};
TORCH_MODULE(Net);

Named net_tensors(const std::string& prefix = "") {
  return {{prefix + "proj.weight", random({3, 4}, 1)},
          {prefix + "proj.bias", random({3}, 2)},
          {prefix + "norm.weight", random({3}, 3)},
          {prefix + "count", torch::tensor({int64_t{7}, int64_t{1} << 40})}};
}

std::shared_ptr<SafetensorsReader> stored(const TemporaryFolder& folder, const Named& tensors) {
  save_tensors(folder / "net.safetensors", tensors);
  return std::make_shared<SafetensorsReader>(SafetensorsReader::open(folder / "net.safetensors"));
}

bool inside(const torch::Tensor& tensor, const TensorView& view) {
  const auto* data = static_cast<const std::byte*>(tensor.data_ptr());
  return data >= view.bytes.data() &&
         data + tensor.nbytes() <= view.bytes.data() + view.bytes.size();
}

TEST(Dtypes, EveryOneHasItsCounterpart) {
  for (const torch::Dtype dtype : kDtypes) {
    EXPECT_EQ(to_torch(from_torch(dtype)), dtype);
    EXPECT_EQ(dtype_size(from_torch(dtype)), static_cast<int64_t>(c10::elementSize(dtype)));
  }
  EXPECT_THROW(from_torch(torch::kComplexFloat), std::logic_error);
}

TEST(SaveTensors, RoundTripOfEveryDtype) {
  const TemporaryFolder folder;
  Named tensors;
  for (const torch::Dtype dtype : kDtypes) {
    const torch::Tensor values = (random({2, 3, 5}, 1).abs() * 9).to(dtype);
    tensors.emplace_back(c10::toString(dtype), values);
  }
  tensors.emplace_back("a scalar", torch::tensor(2.5));
  tensors.emplace_back("nothing", torch::empty({0, 3}));
  const auto file = stored(folder, tensors);
  ASSERT_EQ(file->tensors().size(), tensors.size());
  EXPECT_EQ(file->metadata().at("format"), "pt");
  for (const auto& [name, tensor] : tensors) {
    const TensorView& view = file->at(name);
    EXPECT_EQ(to_torch(view.dtype), tensor.scalar_type()) << name;
    expect_equal(copy_tensor(view), tensor, name);
  }
}

TEST(SaveTensors, TakesViewsAndTrainedTensors) {
  const TemporaryFolder folder;
  const torch::Tensor matrix = random({4, 6}, 1);
  const auto file = stored(folder, {{"turned", matrix.t()},
                                    {"column", matrix.select(1, 2)},
                                    {"trained", matrix.clone().requires_grad_(true)}});
  expect_equal(copy_tensor(file->at("turned")), matrix.t());
  expect_equal(copy_tensor(file->at("column")), matrix.select(1, 2));
  expect_equal(copy_tensor(file->at("trained")), matrix);
}

TEST(SaveTensors, WritesGivenMetadata) {
  const TemporaryFolder folder;
  save_tensors(folder / "m.safetensors", {{"x", torch::zeros({1})}}, {{"step", "3"}});
  const auto metadata = SafetensorsReader::open(folder / "m.safetensors").metadata();
  EXPECT_EQ(metadata, (std::map<std::string, std::string>{{"step", "3"}}));
}

TEST(TensorViews, BorrowSharesAndCopyOwns) {
  torch::Tensor source = random({2, 3}, 1);
  const TensorView view = view_tensor("x", source);
  EXPECT_EQ(view.shape, (Shape{2, 3}));
  const torch::Tensor borrowed = borrow_tensor(view), copy = copy_tensor(view);
  EXPECT_EQ(borrowed.data_ptr(), source.data_ptr());
  const torch::Tensor before = source.clone();
  source.zero_();
  expect_equal(borrowed, source);
  expect_equal(copy, before);
}

TEST(TensorViews, WantPlainMemory) {
  EXPECT_THROW(view_tensor("x", random({2, 3}, 1).t()), std::logic_error);
}

TEST(LoadStrict, FillsParametersAndBuffers) {
  const TemporaryFolder folder;
  const auto file = stored(folder, net_tensors());
  Net net;
  net->norm->weight.requires_grad_(false);
  load_strict(*net, file, {});
  for (const auto& [name, tensor] : net_tensors()) {
    const auto* slot = net->named_parameters().find(name);
    if (!slot) slot = net->named_buffers().find(name);
    ASSERT_TRUE(slot) << name;
    expect_equal(*slot, tensor, name);
  }
  expect_equal(net->proj->weight, random({3, 4}, 1), "the member, not only the registered name");
  EXPECT_TRUE(net->proj->weight.requires_grad());
  EXPECT_FALSE(net->norm->weight.requires_grad());
}

TEST(LoadStrict, CastsFloatsAndLeavesWholeNumbers) {
  const TemporaryFolder folder;
  Named tensors = net_tensors();
  tensors[0].second = tensors[0].second.to(torch::kFloat16);
  tensors[1].second = tensors[1].second.to(torch::kFloat64);
  const auto file = stored(folder, tensors);
  for (const torch::Dtype dtype : {torch::kBFloat16, torch::kFloat32}) {
    Net net;
    LoadOptions options;
    options.dtype = dtype;
    load_strict(*net, file, options);
    for (const auto& item : net->named_parameters()) {
      EXPECT_EQ(item.value().scalar_type(), dtype) << item.key();
    }
    expect_equal(net->proj->weight, tensors[0].second.to(dtype));
    expect_equal(net->proj->bias, tensors[1].second.to(dtype));
    EXPECT_EQ(net->count.scalar_type(), torch::kInt64);
    expect_equal(net->count, tensors[3].second);
  }
}

TEST(LoadStrict, ListsAllThatIsWrongAtOnce) {
  const TemporaryFolder folder;
  const auto file = stored(folder, {{"proj.weight", random({4, 3}, 1)},
                                    {"norm.weight", random({3}, 2)},
                                    {"count", torch::zeros({2}, torch::kInt64)},
                                    {"proj.scale", torch::zeros({1})}});
  Net net;
  test::randomize(*net);
  const torch::Tensor norm = net->norm->weight.detach().clone();
  EXPECT_THAT(message_of<DataError>([&] { load_strict(*net, file, {}); }),
              AllOf(HasSubstr("1 missing (proj.bias)"), HasSubstr("1 unexpected (proj.scale)"),
                    HasSubstr("1 of another shape (proj.weight [4, 3] instead of [3, 4])"),
                    HasSubstr("net.safetensors"), HasSubstr("config.json")));
  expect_equal(net->norm->weight, norm, "what fits was not loaded either");
}

TEST(LoadStrict, LongListsAreCutButCounted) {
  const TemporaryFolder folder;
  Named tensors = net_tensors();
  for (const char* name : {"x0", "x1", "x2", "x3", "x4", "x5", "x6"}) {
    tensors.emplace_back(name, torch::zeros({1}));
  }
  const auto file = stored(folder, tensors);
  Net net;
  EXPECT_THAT(message_of<DataError>([&] { load_strict(*net, file, {}); }),
              AllOf(HasSubstr("7 unexpected (x0, x1, x2, x3, x4, ...)"), Not(HasSubstr("missing")),
                    Not(HasSubstr("shape"))));
}

TEST(LoadStrict, PrefixNamesAPartOfTheFile) {
  const TemporaryFolder folder;
  Named tensors = net_tensors("speaker_encoder.");
  tensors.emplace_back("talker.weight", torch::zeros({1}));
  LoadOptions options;
  options.prefix = "speaker_encoder.";
  Net net;
  load_strict(*net, stored(folder, tensors), options);
  expect_equal(net->proj->bias, random({3}, 2));

  Named others = {{"speaker_encoder.more", torch::zeros({1})}};
  for (const auto& item : tensors) {
    if (!item.first.ends_with("proj.weight")) others.push_back(item);
  }
  const auto file = stored(folder, others);
  EXPECT_THAT(message_of<DataError>([&] { load_strict(*net, file, options); }),
              AllOf(HasSubstr("1 missing (speaker_encoder.proj.weight)"),
                    HasSubstr("1 unexpected (speaker_encoder.more)")));
}

TEST(LoadStrict, SkipNamesWhatIsLeftOut) {
  const TemporaryFolder folder;
  Named tensors = net_tensors("a.");
  tensors.emplace_back("a.ema.one", torch::zeros({1}));
  tensors.emplace_back("a.ema.two", torch::zeros({1}));
  LoadOptions options;
  options.prefix = "a.";
  options.skip = {{"a.ema.", "running averages of training"}};
  Net net;
  load_strict(*net, stored(folder, tensors), options);
  expect_equal(net->norm->weight, random({3}, 3));
  options.skip = {{"ema.", "a prefix of the full name is wanted"}};
  EXPECT_THAT(message_of<DataError>([&] { load_strict(*net, stored(folder, tensors), options); }),
              HasSubstr("2 unexpected"));
}

TEST(LoadStrict, BorrowsTheMapAndKeepsItAlive) {
  const TemporaryFolder folder;
  auto file = stored(folder, net_tensors());
  const std::weak_ptr<SafetensorsReader> watched = file;
  {
    Net net;
    load_strict(*net, file, {});
    EXPECT_TRUE(inside(net->proj->weight, file->at("proj.weight")));
    EXPECT_TRUE(inside(net->proj->bias, file->at("proj.bias")));
    file.reset();
    std::filesystem::remove(folder / "net.safetensors");
    EXPECT_FALSE(watched.expired());
    expect_equal(net->proj->weight, random({3, 4}, 1));
    expect_equal(net->proj->bias, random({3}, 2));
  }
  EXPECT_TRUE(watched.expired());
}

TEST(LoadStrict, CastTensorsDoNotHoldTheFile) {
  const TemporaryFolder folder;
  Named tensors = net_tensors();
  tensors.pop_back();
  auto file = stored(folder, tensors);
  const std::weak_ptr<SafetensorsReader> watched = file;
  struct Plain : torch::nn::Module {
    Plain() {
      proj = register_module("proj", Linear(4, 3, true));
      norm = register_module("norm", RmsNorm(3, 1e-6));
    }
    Linear proj{nullptr};
    RmsNorm norm{nullptr};
  } plain;
  LoadOptions options;
  options.dtype = torch::kBFloat16;
  load_strict(plain, file, options);
  file.reset();
  EXPECT_TRUE(watched.expired());
  expect_equal(plain.proj->weight, random({3, 4}, 1).to(torch::kBFloat16));
}

TEST(LoadStrict, CopiesDataThatIsNotAligned) {
  const TemporaryFolder folder;
  Named tensors = {{"odd", torch::ones({1}, torch::kUInt8)}};  // first in the file
  for (const auto& item : net_tensors()) tensors.push_back(item);
  const auto file = stored(folder, tensors);
  const TensorView& view = file->at("proj.weight");
  ASSERT_NE(reinterpret_cast<uintptr_t>(view.bytes.data()) % alignof(float), 0u);
  Net net;
  LoadOptions options;
  options.skip = {{"odd", "makes the rest odd"}};
  load_strict(*net, file, options);
  EXPECT_FALSE(inside(net->proj->weight, view));
  for (const auto& item : net->named_parameters()) {
    EXPECT_EQ(reinterpret_cast<uintptr_t>(item.value().data_ptr()) % alignof(float), 0u);
  }
  expect_equal(net->proj->weight, random({3, 4}, 1));
  expect_equal(net->count, net_tensors()[3].second);
}

torch::Tensor normed(const torch::Tensor& g, const torch::Tensor& v) {
  const torch::Tensor norm = v.flatten(1).norm(2, 1);  // over all dimensions but the first
  Shape per_row(static_cast<size_t>(v.dim()), 1);
  per_row[0] = v.size(0);
  return v * (g.flatten() / norm).view(per_row);
}

TEST(FoldWeightNorm, BothNamingsOfLinearsAndConvolutions) {
  const TemporaryFolder folder;
  const torch::Tensor linear_v = random({3, 4}, 1), linear_g = random({3, 1}, 2);
  const torch::Tensor conv_v = random({5, 2, 7}, 3), conv_g = random({5, 1, 1}, 4);
  const torch::Tensor bias = random({5}, 5);
  const auto file = stored(folder, {{"net.lin.weight_g", linear_g},
                                    {"net.lin.weight_v", linear_v},
                                    {"net.up.parametrizations.weight.original0", conv_g},
                                    {"net.up.parametrizations.weight.original1", conv_v},
                                    {"net.up.bias", bias},
                                    {"other.bias", bias}});
  const auto folded = fold_weight_norm(file, "net.");
  std::vector<std::string> names;
  for (const TensorView& view : folded->tensors()) names.push_back(view.name);
  EXPECT_EQ(names, (std::vector<std::string>{"lin.weight", "up.bias", "up.weight"}));
  test::expect_close(copy_tensor(folded->at("lin.weight")), normed(linear_g, linear_v), 1e-6);
  test::expect_close(copy_tensor(folded->at("up.weight")), normed(conv_g, conv_v), 1e-6);
  EXPECT_EQ(folded->at("up.bias").bytes.data(), file->at("net.up.bias").bytes.data())
      << "passes through without a copy";
}

// Its first axis is the input, [in, out, k]; every row of it has a length of its own.
TEST(FoldWeightNorm, TransposedConvolutions) {
  const TemporaryFolder folder;
  const torch::Tensor g = torch::tensor({10.0F, 2.0F}).view({2, 1, 1});
  const torch::Tensor v = torch::tensor({3.0F, 0.0F, 4.0F, 0.0F, 0.0F, 0.0F,  //
                                         1.0F, -1.0F, 0.0F, 1.0F, 0.0F, 1.0F})
                              .view({2, 3, 2});
  const auto folded = fold_weight_norm(stored(folder, {{"up.weight_g", g}, {"up.weight_v", v}}));
  const torch::Tensor want = torch::tensor({6.0F, 0.0F, 8.0F, 0.0F, 0.0F, 0.0F,  //
                                            1.0F, -1.0F, 0.0F, 1.0F, 0.0F, 1.0F})
                                 .view({2, 3, 2});
  test::expect_close(copy_tensor(folded->at("up.weight")), want, 1e-6);
}

TEST(FoldWeightNorm, HalfPrecisionIsMultipliedInFloat32) {
  const TemporaryFolder folder;
  const torch::Tensor g = random({3, 1}, 1).to(torch::kFloat16);
  const torch::Tensor v = random({3, 4}, 2).to(torch::kFloat16);
  const auto folded = fold_weight_norm(stored(folder, {{"lin.weight_g", g}, {"lin.weight_v", v}}));
  EXPECT_EQ(folded->at("lin.weight").dtype, DType::kF32);
  test::expect_close(copy_tensor(folded->at("lin.weight")),
                     normed(g.to(torch::kFloat64), v.to(torch::kFloat64)), 1e-6);
}

// Into a module, whose plain tensors still read the map after the files went out of sight.
TEST(FoldWeightNorm, LoadsLikeAnyOtherFile) {
  const TemporaryFolder folder;
  const torch::Tensor g = random({3, 1}, 5), v = random({3, 4}, 6);
  Named tensors = net_tensors("net.");
  tensors[0] = {"net.proj.weight_g", g};
  tensors.emplace_back("net.proj.weight_v", v);
  Net net;
  {
    const auto file = stored(folder, tensors);
    load_strict(*net, fold_weight_norm(file, "net."), {});
    EXPECT_TRUE(inside(net->proj->bias, file->at("net.proj.bias")));
  }
  test::expect_close(net->proj->weight, normed(g, v), 1e-6);
  expect_equal(net->proj->bias, random({3}, 2));
}

TEST(FoldWeightNorm, HalfAPairIsRefused) {
  const TemporaryFolder folder;
  const std::pair<const char*, const char*> pairs[] = {
      {"net.lin.weight_g", "net.lin.weight_v"},
      {"net.lin.parametrizations.weight.original0", "net.lin.parametrizations.weight.original1"}};
  for (const auto& [g, v] : pairs) {
    const auto length = stored(folder, {{g, random({3, 1}, 2)}});
    EXPECT_THAT(message_of<DataError>([&] { fold_weight_norm(length, "net."); }),
                AllOf(HasSubstr(v), HasSubstr("net.safetensors")));
    const auto direction = stored(folder, {{v, random({3, 4}, 2)}});
    EXPECT_THAT(message_of<DataError>([&] { fold_weight_norm(direction, "net."); }),
                AllOf(HasSubstr(g), HasSubstr("net.safetensors")));
    EXPECT_TRUE(fold_weight_norm(direction, "other.")->tensors().empty()) << "nobody asks for it";
  }
}

}  // namespace
}  // namespace ttsft
