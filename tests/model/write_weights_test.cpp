#include "ttsft/model/write_weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/temporary_folder.h"
#include "support/tensor_memory.h"
#include "ttsft/io/safetensors.h"
#include "ttsft/io/torch_file.h"
#include "ttsft/nn/weights.h"

namespace ttsft {
namespace {

using ::testing::ElementsAre;

// A base of three tensors: a whole number, a float32 and a bfloat16 one.
struct WriteWeights : ::testing::Test {
  WriteWeights() {
    save_tensors(folder / "base.safetensors",
                 {{"count", torch::arange(3)},
                  {"half", (torch::arange(4) + 1).to(torch::kBFloat16)},
                  {"wide", torch::arange(6).to(torch::kFloat32).reshape({2, 3})}});
    base =
        std::make_unique<SafetensorsReader>(SafetensorsReader::open(folder / "base.safetensors"));
  }
  static torch::Tensor read(const TensorFile& file, const std::string& name) {
    return copy_tensor(file.at(name));
  }

  TemporaryFolder folder;
  std::unique_ptr<SafetensorsReader> base;
};

TEST_F(WriteWeights, BothLayoutsKeepReplaceCastAndRename) {
  std::vector<WrittenTensor> tensors = as_they_are(base->tensors());
  std::swap(tensors[0], tensors[2]);
  tensors[0].name = "model.wide";
  tensors[1].dtype = DType::kF32;
  const torch::Tensor fresh = torch::full({2, 3}, 0.5);
  const WeightChanges changes = {{"wide", [&] { return fresh.to(torch::kFloat64); }}};
  for (const char* name : {"new.safetensors", "new.pth"}) {
    write_weights(folder / name, tensors, changes);
    const auto file = open_tensor_file(folder / name);
    ASSERT_EQ(file->tensors().size(), 3u) << name;
    EXPECT_TRUE(torch::equal(read(*file, "model.wide"), fresh)) << name;
    EXPECT_TRUE(torch::equal(read(*file, "count"), torch::arange(3))) << name;
    const torch::Tensor half = read(*file, "half");
    EXPECT_EQ(half.scalar_type(), torch::kFloat32) << name;
    EXPECT_TRUE(torch::equal(half, torch::arange(4).to(torch::kFloat32) + 1)) << name;
  }
  std::vector<std::string> order;
  const auto torch_file = TorchFile::open(folder / "new.pth");
  for (const auto& entry : *torch_file->root().dict()) order.push_back(entry.first);
  EXPECT_THAT(order, ElementsAre("model.wide", "half", "count"));
}

TEST_F(WriteWeights, TiedTensorsAreOneStorage) {
  std::vector<WrittenTensor> tensors = {as_they_are(base->tensors())[2]};
  tensors.push_back(tensors[0]);
  tensors[1].name = "head";
  tensors[1].tied_to = "wide";
  for (const bool changed : {false, true}) {
    int made = 0;
    WeightChanges changes;
    if (changed)
      changes["wide"] = [&] {
        ++made;
        return torch::full({2, 3}, 0.5);
      };
    write_weights(folder / "tied.pt", tensors, changes);
    const auto file = open_tensor_file(folder / "tied.pt");
    EXPECT_EQ(file->at("wide").bytes.data(), file->at("head").bytes.data()) << changed;
    EXPECT_EQ(read(*file, "head")[0][1].item<double>(), changed ? 0.5 : 1.0);
    EXPECT_EQ(made, changed ? 1 : 0);
  }
}

TEST_F(WriteWeights, CountsWhatRoundingTookAway) {
  const torch::Tensor half = read(*base, "half").to(torch::kFloat32);  // 1 2 3 4
  // Half a step of bfloat16 is 2^-9 below 2 and 2^-8 below 4.
  const WeightChanges changes = {{"half",
                                  [&] {
                                    return half + torch::tensor({0.001, 0.0, 0.001, 0.5});
                                  }},
                                 {"wide", [&] { return read(*base, "wide") + 1e-6; }}};
  Rounding rounding;
  write_weights(folder / "new.safetensors", as_they_are(base->tensors()), changes, &rounding);
  EXPECT_EQ(rounding.changed, 3);  // float32 is not counted
  EXPECT_EQ(rounding.vanished, 2);
  EXPECT_DOUBLE_EQ(rounding.share(), 2.0 / 3.0);
  EXPECT_EQ(Rounding().share(), 0);
}

TEST_F(WriteWeights, AnotherShapeIsAMistake) {
  const WeightChanges changes = {{"wide", [] { return torch::zeros({3, 2}); }}};
  EXPECT_THROW(write_weights(folder / "new.safetensors", as_they_are(base->tensors()), changes),
               std::logic_error);
  EXPECT_FALSE(std::filesystem::exists(folder / "new.safetensors"));
}

TEST_F(WriteWeights, OneTensorIsInMemoryAtATime) {
  constexpr int64_t kValues = 1 << 20, kTensors = 12;
  const torch::Tensor one = torch::zeros({1}).expand({kValues});  // takes no memory itself
  std::vector<std::pair<std::string, torch::Tensor>> named;
  for (int64_t i = 0; i < kTensors; ++i) named.emplace_back("t" + std::to_string(i + 10), one);
  const int64_t whole = kTensors * kValues * int64_t{sizeof(float)};
  const auto least = [&](const auto& write) {
    const test::TensorMemory memory;
    write();
    EXPECT_GE(memory.peak(), whole / kTensors);  // it does count
    return memory.peak();
  };
  EXPECT_LE(least([&] { save_tensors(folder / "large.safetensors", named); }), whole / kTensors);
  const SafetensorsReader large = SafetensorsReader::open(folder / "large.safetensors");
  WeightChanges changes;
  for (const TensorView& view : large.tensors())
    changes[view.name] = [&] { return torch::ones({kValues}); };
  for (const char* name : {"new.safetensors", "new.pth"}) {
    const auto write = [&] { write_weights(folder / name, as_they_are(large.tensors()), changes); };
    EXPECT_LE(least(write), 2 * whole / kTensors) << name;
  }
}

}  // namespace
}  // namespace ttsft
