#include "models/indextts2/repcodec.h"

#include <gtest/gtest.h>

#include <map>

#include "models/indextts2/w2v_bert.h"
#include "tests/support/model_fixture.h"
#include "tests/support/relative_test.h"
#include "ttsft/audio/sinc_resample.h"
#include "ttsft/core/error.h"
#include "ttsft/io/torch_file.h"

namespace ttsft::indextts2 {
namespace {

using ttsft::test::expect_close;
using ttsft::test::expect_equal;
using ttsft::test::expect_near;

const ttsft::test::ModelFixture kFixture("indextts2");

const Config& config() {
  static const Config config = read_config(kFixture.path("checkpoint"));
  return config;
}

std::shared_ptr<const TensorFile> weights() {
  return open_tensor_file(locate(config(), Auxiliary::kSemanticCodec));
}

RepCodec load() {
  return load_repcodec(weights(), config().semantic_codec, torch::kCPU);
}

torch::Tensor features(const std::string& clip) {
  return kFixture.expected("prep", clip + ".w2v_feat");
}

torch::Tensor codes_of(const std::string& clip) {
  return kFixture.expected("prep", clip + ".codes").to(torch::kInt64);
}

// In one batch, as prep runs them.
TEST(RepCodec, CodesAreUpstreams) {
  RepCodec codec = load();
  const std::vector<std::string> clips = {"a", "b", "c", "ref"};
  std::vector<torch::Tensor> all;
  for (const std::string& clip : clips) all.push_back(features(clip));
  const std::vector<SemanticCodes> codes = codec->quantize(all);
  ASSERT_EQ(codes.size(), clips.size());
  for (size_t i = 0; i < clips.size(); ++i) {
    expect_equal(codes[i].codes, codes_of(clips[i]), clips[i]);
  }
}

TEST(RepCodec, CodesOfRecordingsAreUpstreams) {
  SpeechEncoder encoder(locate(config(), Auxiliary::kW2vBert), config().w2v_stats, torch::kCPU);
  const auto rate = static_cast<int>(config().sample_rate);
  const std::vector<std::string> clips = {"ref", "a", "b", "c"};
  std::vector<torch::Tensor> waves, all;
  for (const std::string& clip : clips) {
    const Audio audio = kFixture.audio(clip);
    const std::vector<float> detour =
        resample_sinc(audio.samples, audio.sample_rate, rate, KernelPrecision::kFloat);
    waves.push_back(torch::tensor(resample_sinc(detour, rate, 16000, KernelPrecision::kFloat)));
  }
  for (const SpeechFeatures& heard : encoder.encode(waves)) all.push_back(heard.frames);
  const std::vector<SemanticCodes> codes = load()->quantize(all);
  for (size_t i = 0; i < clips.size(); ++i) {
    expect_equal(codes[i].codes, codes_of(clips[i]), clips[i]);
  }
}

TEST(RepCodec, StagesAreUpstreams) {
  RepCodec codec = load();
  std::map<std::string, torch::Tensor> seen;
  codec->set_probe([&](std::string_view stage, const torch::Tensor& x) {
    seen[std::string(stage)] = x[0].clone();
  });
  seen["quantized_out"] = codec->quantize({features("b")}).front().vectors;
  for (const std::string stage : {"backbone", "encoder_out", "in_project", "quantized_out"}) {
    ASSERT_TRUE(seen.count(stage)) << stage;
    expect_near(seen[stage], kFixture.expected("layers", "prep.codec." + stage), 1e-4, stage);
  }
}

TEST(RepCodec, VectorsOfCodesAreUpstreams) {
  RepCodec codec = load();
  const torch::Tensor codes = kFixture.expected("synth", "fixed.codes").to(torch::kInt64);
  expect_near(codec->vq2emb(codes), kFixture.expected("synth", "fixed.vq2emb"), 1e-4);
  const SemanticCodes prompt =
      codec->quantize({kFixture.expected("synth", "prompt.spk_cond_emb")}).front();
  expect_equal(prompt.codes, kFixture.expected("synth", "prompt.codes").to(torch::kInt64));
  expect_near(prompt.vectors, kFixture.expected("synth", "prompt.S_ref"), 1e-4);
}

TEST(RepCodec, RowsOfABatchComeOutAsAlone) {
  RepCodec codec = load();
  std::vector<torch::Tensor> rows;
  for (const int64_t length : {1, 2, 4, 7, 30, 59}) {
    rows.push_back(features("a").narrow(0, 0, length));
  }
  torch::Tensor seen;
  codec->set_probe([&](std::string_view stage, const torch::Tensor& x) {
    if (stage == "in_project") seen = x.clone();
  });
  const std::vector<SemanticCodes> together = codec->quantize(rows);
  const torch::Tensor batch = seen;  // longest first
  for (size_t i = 0; i < rows.size(); ++i) {
    const int64_t length = rows[i].size(0);
    const std::string what = std::to_string(length) + " frames";
    const SemanticCodes alone = codec->quantize({rows[i]}).front();
    const auto row = static_cast<int64_t>(rows.size() - 1 - i);
    expect_close(batch[row].narrow(0, 0, length), seen[0], 1e-4, what);
    expect_equal(together[i].codes, alone.codes, what);
    expect_close(together[i].vectors, alone.vectors, 1e-5, what);
  }
}

// By direction and not by distance: a vector finds the row that it points to.
TEST(RepCodec, NearestByDirection) {
  RepCodec codec = load();
  const torch::Tensor rows = copy_tensor(weights()->at("quantizer.quantizers.0.codebook.weight"));
  torch::Tensor asked;
  codec->set_probe([&](std::string_view stage, const torch::Tensor& x) {
    if (stage == "in_project") asked = x[0].clone();
  });
  const torch::Tensor codes = codec->quantize({features("c")}).front().codes;
  const torch::Tensor cosine = torch::matmul(torch::nn::functional::normalize(asked),
                                             torch::nn::functional::normalize(rows).t());
  expect_equal(codes, cosine.argmax(1));
}

TEST(RepCodec, WrongUse) {
  RepCodec codec = load();
  EXPECT_TRUE(codec->quantize({}).empty());
  EXPECT_THROW(codec->quantize({features("a").unsqueeze(0)}), std::logic_error);
  EXPECT_THROW(codec->quantize({features("a").narrow(1, 0, 5)}), std::logic_error);
  EXPECT_THROW(codec->quantize({features("a").narrow(0, 0, 0)}), std::logic_error);
  SemanticCodecConfig other = config().semantic_codec;
  other.vocos_num_layers += 1;
  EXPECT_THROW(load_repcodec(weights(), other, torch::kCPU), DataError);
  other = config().semantic_codec;
  other.codebook_size /= 2;
  EXPECT_THROW(load_repcodec(weights(), other, torch::kCPU), DataError);
}

TEST(RepCodec, ReleaseShapes) {
  const RepCodec codec{SemanticCodecConfig{8192, 1024, 8, 384, 2048, 12}};
  const auto parameters = codec->named_parameters();
  const auto shape = [&](const std::string& name) { return parameters[name].sizes().vec(); };
  EXPECT_EQ(parameters.size(), 2u + 2 + 12 * 9 + 2 + 2 + 5);
  EXPECT_EQ(shape("encoder.0.embed.weight"), (Shape{384, 1024, 7}));
  EXPECT_EQ(shape("encoder.0.convnext.11.dwconv.weight"), (Shape{384, 1, 7}));
  EXPECT_EQ(shape("encoder.0.convnext.0.pwconv1.weight"), (Shape{2048, 384}));
  EXPECT_EQ(shape("encoder.1.weight"), (Shape{1024, 384}));
  EXPECT_EQ(shape("quantizer.quantizers.0.in_project.weight"), (Shape{8, 1024, 1}));
  EXPECT_EQ(shape("quantizer.quantizers.0.out_project.weight"), (Shape{1024, 8, 1}));
}

}  // namespace
}  // namespace ttsft::indextts2
