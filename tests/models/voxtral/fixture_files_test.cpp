// The fixture's list of names and shapes, which is written out from the specification, against
// upstream's files and against the sizes of the release.
#include "models/voxtral/fixture/files.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/models/voxtral/voxtral_fixture.h"
#include "tests/support/fixture_names.h"
#include "tests/support/temporary_folder.h"

namespace ttsft::voxtral::test {
namespace {

using ttsft::test::file_of;
using ttsft::test::without_numbers;

std::set<std::string> names(const std::vector<FixtureFile>& files, const char* file) {
  std::set<std::string> all;
  for (const FixtureTensor& tensor : file_of(files, file).tensors)
    all.insert(without_numbers(tensor.name));
  return all;
}

TEST(FixtureFiles, NamesAreUpstreams) {
  const auto files = fixture_files(FixtureSize::kTiny);
  for (const char* file : {kWeightsFile, kEncoderFile}) {
    std::set<std::string> upstreams;
    const auto reader = SafetensorsReader::open(checkpoint() / file);
    for (const TensorView& view : reader.tensors()) upstreams.insert(without_numbers(view.name));
    EXPECT_EQ(names(files, file), upstreams) << file;
  }
}

TEST(FixtureFiles, TheReleaseHasItsSizeAndNoEncoder) {
  const auto files = fixture_files(FixtureSize::kRelease);
  const FixtureFile& weights = file_of(files, kWeightsFile);
  EXPECT_EQ(weights.tensors.size(), 386u);
  int64_t bytes = 0;
  for (const FixtureTensor& tensor : weights.tensors) {
    EXPECT_EQ(tensor.dtype, DType::kBF16);
    bytes += shape_size(tensor.shape) * 2;
  }
  EXPECT_NEAR(static_cast<double>(bytes), 8.00e9, 0.04e9);
  int64_t voices = 0, rows = 0;
  for (const FixtureFile& file : files) {
    EXPECT_FALSE(file.encoder);
    if (!file.path.starts_with(kVoiceFolder)) continue;
    ++voices;
    rows += file.tensors[0].shape[0];
  }
  EXPECT_EQ(voices, 20);
  EXPECT_EQ(rows, 2900 + 20);
}

// Every row of the specification's table.
TEST(FixtureFiles, TheReleaseHasItsShapes) {
  const std::string codec = "audio_tokenizer.", flow = "acoustic_transformer.";
  const std::string g = ".conv.parametrizations.weight.original0",
                    v = ".conv.parametrizations.weight.original1";
  const std::map<std::string, Shape> wanted = {
      {"mm_audio_embeddings.tok_embeddings.weight", {131072, 3072}},
      {kCodebookTable, {9088, 3072}},
      {"layers.25.attention.wq.weight", {4096, 3072}},
      {"layers.0.attention.wk.weight", {1024, 3072}},
      {"layers.0.attention.wo.weight", {3072, 4096}},
      {"layers.0.feed_forward.w1.weight", {9216, 3072}},
      {"layers.0.feed_forward.w2.weight", {3072, 9216}},
      {"layers.0.ffn_norm.weight", {3072}},
      {"norm.weight", {3072}},
      {flow + "input_projection.weight", {3072, 36}},
      {flow + "time_projection.weight", {3072, 3072}},
      {flow + "llm_projection.weight", {3072, 3072}},
      {flow + "semantic_codebook_output.weight", {8320, 3072}},
      {flow + "acoustic_codebook_output.weight", {36, 3072}},
      {flow + "layers.2.attention.wv.weight", {1024, 3072}},
      {codec + "quantizer.semantic_codebook.embedding_sum", {8192, 256}},
      {codec + "quantizer.semantic_codebook.cluster_usage", {8192}},
      {codec + "decoder_blocks.0" + g, {1024, 1, 1}},
      {codec + "decoder_blocks.0" + v, {1024, 292, 3}},
      {codec + "decoder_blocks.6" + v, {1024, 1024, 4}},
      {codec + "decoder_blocks.7.layers.1.attention.wo.weight", {1024, 1024}},
      {codec + "decoder_blocks.1.layers.0.attention.q_norm.weight", {1024}},
      {codec + "decoder_blocks.1.layers.0.attention_scale", {1024}},
      {codec + "decoder_blocks.1.layers.0.feed_forward.w1.weight", {4096, 1024}},
      {codec + "output_proj" + v, {240, 1024, 7}}};
  std::map<std::string, Shape> listed;
  const auto files = fixture_files(FixtureSize::kRelease);
  for (const FixtureTensor& tensor : file_of(files, kWeightsFile).tensors)
    listed[tensor.name] = tensor.shape;
  for (const auto& [name, shape] : wanted) EXPECT_EQ(listed[name], shape) << name;
}

TEST(FixtureFiles, LoadStrictly) {
  const TemporaryFolder folder;
  write_fixture(fixture_files(FixtureSize::kTiny), folder / "checkpoint", 1);
  const Config config = read_config(folder / "checkpoint");
  load_lm(folder / "checkpoint", config, torch::kCPU, torch::kFloat32);
  EXPECT_TRUE(load_codec(folder / "checkpoint", config.codec, torch::kCPU).encodes());
  const Tokenizer tokenizer(folder / "checkpoint");
  EXPECT_EQ(tokenizer.encode("ab"), (std::vector<int64_t>{1097, 1098}));
}

}  // namespace
}  // namespace ttsft::voxtral::test
