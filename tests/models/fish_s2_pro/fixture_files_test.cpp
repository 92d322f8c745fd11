// The fixture's list of names and shapes, which is written out from the specification, against
// upstream's files and against the sizes of the release.
#include "models/fish_s2_pro/fixture/files.h"

#include <gtest/gtest.h>

#include <set>

#include "models/fish_s2_pro/codec.h"
#include "models/fish_s2_pro/modules.h"
#include "models/fish_s2_pro/text.h"
#include "tests/models/fish_s2_pro/fish_fixture.h"
#include "tests/support/fixture_names.h"
#include "tests/support/temporary_folder.h"
#include "ttsft/io/safetensors.h"
#include "ttsft/io/torch_file.h"

namespace ttsft::fish_s2_pro::test {
namespace {

using ttsft::test::file_of;
using ttsft::test::without_numbers;

// Of both shards.
std::map<std::string, FixtureTensor> decoders(FixtureSize size) {
  std::map<std::string, FixtureTensor> all;
  for (const FixtureFile& file : fixture_files(size)) {
    if (!file.path.ends_with(".safetensors")) continue;
    for (const FixtureTensor& tensor : file.tensors)
      EXPECT_TRUE(all.emplace(tensor.name, tensor).second);
  }
  return all;
}

TEST(FixtureFiles, NamesAreUpstreams) {
  std::set<std::string> ours, upstreams;
  for (const auto& [name, tensor] : decoders(FixtureSize::kTiny))
    ours.insert(without_numbers(name));
  const SafetensorsReader shards = SafetensorsReader::open(fixture().path("checkpoint"));
  for (const TensorView& view : shards.tensors()) upstreams.insert(without_numbers(view.name));
  EXPECT_EQ(ours, upstreams);

  ours.clear();
  upstreams.clear();
  const auto files = fixture_files(FixtureSize::kTiny);
  for (const FixtureTensor& tensor : file_of(files, kCodecFile).tensors)
    ours.insert(without_numbers(tensor.name));
  const auto codec = open_tensor_file(fixture().path("checkpoint/codec.pth"));
  for (const TensorView& view : codec->tensors()) {
    const bool buffer = view.name.ends_with("causal_mask") || view.name.ends_with("freqs_cis");
    if (!buffer) upstreams.insert(without_numbers(view.name));
  }
  EXPECT_EQ(ours, upstreams);
}

TEST(FixtureFiles, TheReleaseHasItsSize) {
  int64_t values = 0;
  for (const auto& [name, tensor] : decoders(FixtureSize::kRelease))
    values += shape_size(tensor.shape);
  EXPECT_EQ(decoders(FixtureSize::kRelease).size(), 358u);
  EXPECT_EQ(values, 4561852416);
  int64_t codec = 0;
  const auto files = fixture_files(FixtureSize::kRelease);
  for (const FixtureTensor& tensor : file_of(files, kCodecFile).tensors)
    codec += shape_size(tensor.shape);
  EXPECT_EQ(file_of(files, kCodecFile).tensors.size(), 535u);
  EXPECT_EQ(codec, 391430530);
}

// Every row of the specification's tables that is not a count.
TEST(FixtureFiles, TheReleaseHasItsShapes) {
  const std::string text = "text_model.model.", audio = "audio_decoder.";
  const std::map<std::string, Shape> wanted = {
      {text + "embeddings.weight", {155776, 2560}},
      {text + "layers.35.attention.wqkv.weight", {6144, 2560}},
      {text + "layers.0.attention.wo.weight", {2560, 4096}},
      {text + "layers.0.attention.q_norm.weight", {128}},
      {text + "layers.0.feed_forward.w1.weight", {9728, 2560}},
      {text + "layers.0.feed_forward.w2.weight", {2560, 9728}},
      {text + "layers.0.ffn_norm.weight", {2560}},
      {text + "norm.weight", {2560}},
      {audio + "codebook_embeddings.weight", {40960, 2560}},
      {audio + "embeddings.weight", {4096, 2560}},
      {audio + "layers.3.attention.wqkv.weight", {6144, 2560}},
      {audio + "norm.weight", {2560}},
      {audio + "output.weight", {4096, 2560}}};
  const auto listed = decoders(FixtureSize::kRelease);
  for (const auto& [name, shape] : wanted) {
    ASSERT_TRUE(listed.contains(name)) << name;
    EXPECT_EQ(listed.at(name).shape, shape) << name;
    EXPECT_EQ(listed.at(name).dtype, DType::kBF16) << name;
  }
  EXPECT_FALSE(listed.contains(audio + "layers.0.attention.q_norm.weight"));
  const std::map<std::string, Shape> codec = {
      {"encoder.block.0.conv.parametrizations.weight.original1", {64, 1, 7}},
      {"encoder.block.4.block.4.conv.parametrizations.weight.original1", {1024, 512, 16}},
      {"encoder.block.4.block.5.layers.3.attention.wqkv.weight", {3072, 1024}},
      {"encoder.block.6.conv.parametrizations.weight.original1", {1024, 1024, 3}},
      {"quantizer.downsample.1.1.dwconv.conv.weight", {1024, 1, 7}},
      {"quantizer.post_module.layers.7.feed_forward.w2.weight", {1024, 3072}},
      {"quantizer.semantic_quantizer.quantizers.0.codebook.weight", {4096, 8}},
      {"quantizer.quantizer.quantizers.8.out_proj.weight_g", {1024, 1, 1}},
      {"decoder.model.0.conv.parametrizations.weight.original1", {1536, 1024, 7}},
      {"decoder.model.1.block.1.conv.parametrizations.weight.original0", {1536, 1, 1}},
      {"decoder.model.1.block.1.conv.parametrizations.weight.original1", {1536, 768, 16}},
      {"decoder.model.5.alpha", {1, 96, 1}}};
  const auto files = fixture_files(FixtureSize::kRelease);
  std::map<std::string, Shape> shapes;
  for (const FixtureTensor& tensor : file_of(files, kCodecFile).tensors)
    shapes[tensor.name] = tensor.shape;
  for (const auto& [name, shape] : codec) EXPECT_EQ(shapes[name], shape) << name;
}

TEST(FixtureFiles, LoadStrictly) {
  const TemporaryFolder folder;
  const std::filesystem::path checkpoint = folder / "checkpoint";
  write_fixture(fixture_files(FixtureSize::kTiny), checkpoint, 1);
  load_dual_ar(checkpoint, read_config(checkpoint), torch::kCPU, torch::kFloat32);
  EXPECT_EQ(load_codec(checkpoint, torch::kCPU)->options().hop(), 2048);
}

// Specification section 2.
TEST(FixtureFiles, SpecialTokensHaveTheReleasesIds) {
  const TemporaryFolder folder;
  for (const FixtureFile& file : fixture_files(FixtureSize::kRelease))
    if (!file.text.empty()) folder.write(file.path, file.text);
  const Tokenizer tokenizer(folder.path());
  EXPECT_EQ(tokenizer.im_end(), 151645);
  EXPECT_EQ(tokenizer.semantic_begin(), 151678);
  EXPECT_EQ(tokenizer.semantic_codes(), 4096);
  for (const auto& [token, id] : std::map<std::string, int64_t>{{"</think>", 151668},
                                                                {"<|pad|>", 151669},
                                                                {"<|phoneme_start|>", 151670},
                                                                {"<|voice|>", 151673},
                                                                {"<|audio_pad|>", 151677},
                                                                {"<|semantic:4095|>", 155773}})
    EXPECT_EQ(tokenizer.encode(token), std::vector<int64_t>{id}) << token;
}

}  // namespace
}  // namespace ttsft::fish_s2_pro::test
