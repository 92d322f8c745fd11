// The fixture's list of names and shapes, which is written out from the specification, against
// upstream's files and against the sizes of the release.
#include "models/cosyvoice3/fixture/files.h"

#include <gtest/gtest.h>

#include <set>

#include "models/cosyvoice3/config.h"
#include "models/cosyvoice3/encoders.h"
#include "models/cosyvoice3/flow.h"
#include "models/cosyvoice3/hift.h"
#include "models/cosyvoice3/modules.h"
#include "models/cosyvoice3/text.h"
#include "models/cosyvoice3/weights.h"
#include "tests/models/cosyvoice3/cosyvoice3_fixture.h"
#include "tests/support/fixture_names.h"
#include "tests/support/temporary_folder.h"

namespace ttsft::cosyvoice3::test {
namespace {

using ttsft::test::file_of;
using ttsft::test::without_numbers;

int64_t values_of(const FixtureFile& file, const std::string& prefix = "") {
  int64_t values = 0;
  for (const FixtureTensor& tensor : file.tensors) {
    if (tensor.name.starts_with(prefix)) values += shape_size(tensor.shape);
  }
  return values;
}

Shape shape_in(const FixtureFile& file, const std::string& name) {
  for (const FixtureTensor& tensor : file.tensors) {
    if (tensor.name == name) return tensor.shape;
  }
  ADD_FAILURE() << name << " is not listed";
  return {};
}

TEST(FixtureFiles, NamesAreUpstreams) {
  const auto files = fixture_files(FixtureSize::kTiny);
  for (const std::string path : {"llm.pt", "flow.pt", "hift.pt"}) {
    std::set<std::string> ours, upstreams;
    for (const FixtureTensor& tensor : file_of(files, path).tensors)
      ours.insert(without_numbers(tensor.name));
    const auto upstream = open_tensor_file(fixture().path("checkpoint/" + path));
    for (const TensorView& view : upstream->tensors()) upstreams.insert(without_numbers(view.name));
    EXPECT_EQ(ours, upstreams) << path;
  }
}

TEST(FixtureFiles, TheReleaseHasItsSize) {
  const auto files = fixture_files(FixtureSize::kRelease);
  const FixtureFile &llm = file_of(files, "llm.pt"), &flow = file_of(files, "flow.pt"),
                    &hift = file_of(files, "hift.pt");
  EXPECT_EQ(flow.tensors.size(), 330u);
  EXPECT_EQ(hift.tensors.size(), 328u);
  EXPECT_NEAR(static_cast<double>(values_of(llm) - values_of(llm, "llm.model.lm_head.")) / 1e6,
              506.15, 0.005);
  // inv_freq is a buffer.
  EXPECT_EQ(values_of(flow) - values_of(flow, "decoder.estimator.rotary_embed."), 332257088);
  EXPECT_EQ(values_of(hift), 20779887);
  EXPECT_NEAR(static_cast<double>(values_of(file_of(files, kTokenizerFile))) / 1e6, 242, 0.5);
  // The export folds most of its normalisations away.
  EXPECT_NEAR(static_cast<double>(values_of(file_of(files, kSpeakerFile))) / 1e6, 6.9, 0.05);
}

// Every row of the specification's tables that is not a count.
TEST(FixtureFiles, TheReleaseHasItsShapes) {
  const auto files = fixture_files(FixtureSize::kRelease);
  const std::map<std::string, std::map<std::string, Shape>> wanted = {
      {"llm.pt",
       {{"llm.model.model.embed_tokens.weight", {151936, 896}},
        {"llm.model.lm_head.weight", {151936, 896}},
        {"llm.model.model.layers.23.self_attn.q_proj.weight", {896, 896}},
        {"llm.model.model.layers.23.self_attn.q_proj.bias", {896}},
        {"llm.model.model.layers.0.self_attn.k_proj.weight", {128, 896}},
        {"llm.model.model.layers.0.self_attn.v_proj.bias", {128}},
        {"llm.model.model.layers.0.self_attn.o_proj.weight", {896, 896}},
        {"llm.model.model.layers.0.mlp.gate_proj.weight", {4864, 896}},
        {"llm.model.model.layers.0.mlp.down_proj.weight", {896, 4864}},
        {"llm.model.model.layers.0.input_layernorm.weight", {896}},
        {"llm.model.model.norm.weight", {896}},
        {"speech_embedding.weight", {6761, 896}},
        {"llm_decoder.weight", {6761, 896}}}},
      {"flow.pt",
       {{"input_embedding.weight", {6561, 80}},
        {"spk_embed_affine_layer.weight", {80, 192}},
        {"pre_lookahead_layer.conv1.weight", {1024, 80, 4}},
        {"pre_lookahead_layer.conv2.weight", {80, 1024, 3}},
        {"decoder.estimator.time_embed.time_mlp.0.weight", {1024, 256}},
        {"decoder.estimator.time_embed.time_mlp.2.weight", {1024, 1024}},
        {"decoder.estimator.input_embed.proj.weight", {1024, 320}},
        {"decoder.estimator.input_embed.conv_pos_embed.conv1.0.weight", {1024, 64, 31}},
        {"decoder.estimator.rotary_embed.inv_freq", {32}},
        {"decoder.estimator.transformer_blocks.21.attn_norm.linear.weight", {6144, 1024}},
        {"decoder.estimator.transformer_blocks.0.attn.to_out.0.bias", {1024}},
        {"decoder.estimator.transformer_blocks.0.ff.ff.0.0.weight", {2048, 1024}},
        {"decoder.estimator.transformer_blocks.0.ff.ff.2.weight", {1024, 2048}},
        {"decoder.estimator.norm_out.linear.weight", {2048, 1024}},
        {"decoder.estimator.proj_out.weight", {80, 1024}}}},
      {"hift.pt",
       {{"m_source.l_linear.weight", {1, 9}},
        {"conv_pre.parametrizations.weight.original1", {512, 80, 5}},
        {"ups.0.parametrizations.weight.original1", {256, 512, 16}},
        {"ups.1.parametrizations.weight.original1", {128, 256, 11}},
        {"ups.2.parametrizations.weight.original1", {64, 128, 7}},
        {"source_downs.0.weight", {256, 18, 30}},
        {"source_downs.1.weight", {128, 18, 6}},
        {"source_downs.2.weight", {64, 18, 1}},
        {"source_resblocks.2.convs1.0.parametrizations.weight.original1", {64, 64, 11}},
        {"resblocks.8.activations2.2.alpha", {64}},
        {"conv_post.parametrizations.weight.original1", {18, 64, 7}},
        {"f0_predictor.condnet.0.parametrizations.weight.original1", {512, 80, 4}},
        {"f0_predictor.condnet.8.parametrizations.weight.original1", {512, 512, 3}},
        {"f0_predictor.classifier.weight", {1, 512}}}}};
  for (const auto& [path, shapes] : wanted) {
    for (const auto& [name, shape] : shapes)
      EXPECT_EQ(shape_in(file_of(files, path), name), shape) << path << " " << name;
  }
}

TEST(FixtureFiles, LoadStrictly) {
  const TemporaryFolder folder;
  const std::filesystem::path checkpoint = folder / "checkpoint";
  write_fixture(fixture_files(FixtureSize::kTiny), checkpoint, 1);
  const Config config = read_config(checkpoint);
  load_lm(open_tensor_file(checkpoint / "llm.pt"), config.lm, torch::kCPU, torch::kFloat32);
  load_flow(open_tensor_file(checkpoint / kFlowFile), 0, torch::kCPU);
  load_causal_hift(open_tensor_file(checkpoint / "hift.pt"), torch::kCPU);
  load_tokenizer(checkpoint, torch::kCPU);
  load_speaker_network(checkpoint, torch::kCPU, SegmentMean::kOfItsFrames);
}

// The ids of the release's special tokens: specification, appendix A.
TEST(FixtureFiles, SpecialTokensHaveTheReleasesIds) {
  const TemporaryFolder folder;
  for (const FixtureFile& file : fixture_files(FixtureSize::kRelease)) {
    if (!file.text.empty()) folder.write(file.path, file.text);
  }
  const TextFrontend text(folder.path());
  EXPECT_EQ(text.end_of_prompt(), 151646);
  for (const auto& [token, id] : std::map<std::string, int64_t>{{"<|endoftext|>", 151643},
                                                                {"<|im_end|>", 151645},
                                                                {"[breath]", 151647},
                                                                {"<|endofsystem|>", 151663},
                                                                {"[AA]", 151664},
                                                                {"[AA1]", 151666},
                                                                {"[HH]", 151706},
                                                                {"[Z]", 151746},
                                                                {"[in]", 151766},
                                                                {"[q]", 151806},
                                                                {"[ǜ]", 151923}})
    EXPECT_EQ(text.encode(token), std::vector<int64_t>{id}) << token;
}

}  // namespace
}  // namespace ttsft::cosyvoice3::test
