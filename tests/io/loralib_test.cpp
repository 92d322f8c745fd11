#include "ttsft/io/loralib.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "support/temporary_folder.h"
#include "ttsft/core/error.h"
#include "ttsft/io/torch_file.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

const fs::path kFixture = fs::path(TTSFT_FIXTURES) / "fish_s2_pro/expected";

TEST(Loralib, UpstreamsFileIsThePeftFolderOfTheSameAdapter) {
  const AdapterFiles read = open_adapter(kFixture / "adapter_final.ckpt", 6);
  EXPECT_EQ(read.config.r, 3);
  EXPECT_EQ(read.config.lora_alpha, 6);
  EXPECT_FALSE(read.says_embeddings);
  const auto peft = open_tensor_file(kFixture / "adapter_final.safetensors");
  ASSERT_EQ(read.tensors->tensors().size(), peft->tensors().size());
  for (const TensorView& view : peft->tensors()) {
    const TensorView& ours = read.tensors->at(view.name);
    EXPECT_EQ(ours.shape, view.shape) << view.name;
    EXPECT_TRUE(std::equal(ours.bytes.begin(), ours.bytes.end(), view.bytes.begin())) << view.name;
  }
}

TEST(Loralib, WhatIsWrittenIsReadBack) {
  const TemporaryFolder folder;
  const auto peft = open_tensor_file(kFixture / "adapter_final.safetensors");
  write_loralib(folder / "lora.ckpt", *peft);
  const auto upstreams = open_tensor_file(kFixture / "adapter_final.ckpt");
  const auto ours = open_tensor_file(folder / "lora.ckpt");
  ASSERT_EQ(ours->tensors().size(), upstreams->tensors().size());
  for (const TensorView& view : upstreams->tensors())
    EXPECT_EQ(ours->at(view.name).shape, view.shape) << view.name;
  EXPECT_EQ(open_adapter(folder / "lora.ckpt", 1).tensors->tensors().size(),
            peft->tensors().size());
}

TEST(Loralib, ABareMappingIsOneToo) {
  const TemporaryFolder folder;
  const std::array<float, 6> values = {1, 2, 3, 4, 5, 6};
  const TensorView a{"wo.lora_A", DType::kF32, {2, 3}, std::as_bytes(std::span(values))};
  const TensorView b{"wo.lora_B", DType::kF32, {3, 2}, std::as_bytes(std::span(values))};
  write_torch_file(folder / "bare.ckpt", {TorchValue::Dict{{a.name, {a}}, {b.name, {b}}}});
  EXPECT_TRUE(is_loralib_file(folder / "bare.ckpt"));
  const AdapterFiles adapter = open_adapter(folder / "bare.ckpt", 4);
  EXPECT_EQ(adapter.config.r, 2);
  EXPECT_THAT(adapter.config.target_modules.endings, UnorderedElementsAre("wo"));
  EXPECT_NE(adapter.tensors->find("base_model.model.wo.lora_A.weight"), nullptr);
}

TEST(Loralib, OtherFilesAreNone) {
  const TemporaryFolder folder;
  folder.write("text.ckpt", "no zip");
  EXPECT_FALSE(is_loralib_file(folder / "text.ckpt"));
  EXPECT_FALSE(is_loralib_file(folder.path()));
  EXPECT_FALSE(is_loralib_file(folder / "absent.ckpt"));
  const float one = 1;
  const TensorView weight{"weight", DType::kF32, {1}, std::as_bytes(std::span(&one, 1))};
  write_torch_file(folder / "model.pth", {TorchValue::Dict{{weight.name, {weight}}}});
  EXPECT_FALSE(is_loralib_file(folder / "model.pth"));
  EXPECT_THAT(message_of<DataError>([&] { open_adapter(folder / "model.pth", 1); }),
              HasSubstr("lora_A"));
}

TEST(Loralib, AlphaMustBeGiven) {
  EXPECT_THAT(message_of<UsageError>([&] { open_adapter(kFixture / "adapter_final.ckpt"); }),
              HasSubstr("lora.alpha"));
}

}  // namespace
}  // namespace ttsft
