#include "ttsft/model/fixture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/temporary_folder.h"
#include "ttsft/core/error.h"
#include "ttsft/io/atomic_file.h"
#include "ttsft/io/torch_file.h"
#include "ttsft/nn/weights.h"

namespace ttsft {
namespace {

using Fill = FixtureTensor::Fill;
using ::testing::HasSubstr;

std::vector<FixtureFile> files() {
  FixtureFile model{"sub/model.safetensors", {}, {}};
  model.tensors = {{"z.weight", DType::kF32, {1000, 100}, Fill::kNormal, 0.5},
                   {"a.norm", DType::kBF16, {7}, Fill::kOne},
                   {"zero", DType::kF16, {2, 2}, Fill::kZero},
                   {"bias", DType::kF32, {50}, Fill::kSmall},
                   {"usage", DType::kF32, {50}, Fill::kCount},
                   {"steps", DType::kI64, {1}, Fill::kOne},
                   {"twin", DType::kF32, {50}, Fill::kNormal, 0.5}};
  return {{"config.json", {}, "{\"size\": 1}\n"}, model};
}

SafetensorsReader open(const std::filesystem::path& folder) {
  return SafetensorsReader::open(folder / "sub/model.safetensors");
}

TEST(Fixture, WritesTorchFilesWithTheirDictionaries) {
  const TemporaryFolder folder;
  FixtureFile nested{"net.pth", {}, {}};
  nested.tensors = {{"net/cfm/a.weight", DType::kF32, {3, 2}, Fill::kOne},
                    {"net/cfm/b.bias", DType::kF16, {2}, Fill::kZero},
                    {"net/regulator/a.weight", DType::kF32, {1}, Fill::kOne}};
  FixtureFile single{"deep/matrix.pt", {{"", DType::kF32, {4, 5}, Fill::kNormal, 1.0}}, {}};
  write_fixture({nested, single}, folder / "out", 1);
  const auto net = TorchFile::open(folder / "out/net.pth");
  EXPECT_EQ(net->at("net.cfm.a.weight").shape, (Shape{3, 2}));
  EXPECT_EQ(net->at("net.cfm.b.bias").dtype, DType::kF16);
  const TorchValue* inner = net->root().find("net");
  ASSERT_TRUE(inner && inner->find("cfm") && inner->find("regulator"));
  EXPECT_EQ(inner->find("cfm")->dict()->size(), 2u) << "names keep their dots";
  const auto matrix = TorchFile::open(folder / "out/deep/matrix.pt");
  ASSERT_TRUE(matrix->root().tensor());
  EXPECT_EQ(matrix->root().tensor()->shape, (Shape{4, 5}));
}

TEST(Fixture, WritesTextAndTensorsAsListed) {
  const TemporaryFolder folder;
  write_fixture(files(), folder / "out", 1);
  EXPECT_EQ(read_text(folder / "out/config.json"), "{\"size\": 1}\n");
  const SafetensorsReader reader = open(folder / "out");
  ASSERT_EQ(reader.tensors().size(), 7u);
  EXPECT_EQ(reader.at("a.norm").dtype, DType::kBF16);
  EXPECT_EQ(reader.at("z.weight").shape, (Shape{1000, 100}));

  const auto values = [&](const char* name) {
    return copy_tensor(reader.at(name)).to(torch::kFloat32);
  };
  EXPECT_NEAR(values("z.weight").std().item<double>(), 0.5, 0.01);
  EXPECT_NEAR(values("z.weight").mean().item<double>(), 0.0, 0.01);
  EXPECT_TRUE(values("a.norm").eq(1).all().item<bool>());
  EXPECT_TRUE(values("zero").eq(0).all().item<bool>());
  EXPECT_TRUE(values("steps").eq(1).all().item<bool>());
  EXPECT_NEAR(values("bias").std().item<double>(), 0.01, 0.005);
  EXPECT_GE(values("usage").min().item<double>(), 1);
}

TEST(Fixture, ValuesDependOnSeedFileAndNameAlone) {
  const TemporaryFolder folder;
  write_fixture(files(), folder / "a", 1);
  auto reordered = files();
  std::swap(reordered[1].tensors.front(), reordered[1].tensors.back());
  write_fixture(reordered, folder / "b", 1);
  write_fixture(files(), folder / "c", 2);
  const auto weight = [](const std::filesystem::path& out, const char* name) {
    return copy_tensor(open(out).at(name));
  };
  for (const char* name : {"z.weight", "twin", "usage"}) {
    EXPECT_TRUE(torch::equal(weight(folder / "a", name), weight(folder / "b", name))) << name;
    EXPECT_FALSE(torch::equal(weight(folder / "a", name), weight(folder / "c", name))) << name;
  }
  EXPECT_FALSE(torch::equal(weight(folder / "a", "z.weight").flatten().slice(0, 0, 50),
                            weight(folder / "a", "twin")));
}

TEST(Fixture, LeavesAFolderInUseAlone) {
  const TemporaryFolder folder;
  folder.write("out/mine.txt", "kept");
  EXPECT_THAT(message_of<UsageError>([&] { write_fixture(files(), folder / "out", 1); }),
              HasSubstr("not empty"));
  EXPECT_EQ(read_text(folder / "out/mine.txt"), "kept");
}

TEST(Fixture, LeavesNothingBehindWhenItFails) {
  const TemporaryFolder folder;
  auto twice = files();
  twice[1].tensors.push_back(twice[1].tensors.front());
  EXPECT_THROW(write_fixture(twice, folder / "out", 1), RunError);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

}  // namespace
}  // namespace ttsft
