#include "models/qwen3_tts/codec_decoder.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/models/qwen3_tts/fixture.h"
#include "ttsft/core/error.h"
#include "ttsft/nn/rope.h"

namespace ttsft::qwen3_tts {
namespace {

using namespace ttsft::qwen3_tts::test;  // NOLINT: test helpers

CodecDecoder load() {
  return load_codec_decoder(codec_weights(), fixture_config().codec, torch::kCPU);
}

torch::Tensor codes_of_case(const std::string& id) {
  std::ifstream stream(fixture_path("expected/synth.json"));
  const auto json = nlohmann::json::parse(stream);
  for (const auto& item : json.at("cases")) {
    if (item.at("id") != id) continue;
    std::vector<torch::Tensor> rows;
    for (const auto& row : item.at("codes")) {
      rows.push_back(torch::tensor(row.get<std::vector<int64_t>>()));
    }
    return torch::stack(rows);
  }
  ADD_FAILURE() << "no case " << id;
  return {};
}

TEST(CodecDecoder, FixedCodesGiveUpstreamsWave) {
  CodecDecoder decoder = load();
  const torch::Tensor codes = expected_tensor("synth", "decode.codes");  // [14, 16]
  expect_close(decoder->decode(codes), expected_tensor("synth", "decode.wave"), 1e-4, "decode");
}

TEST(CodecDecoder, GeneratedCodesGiveUpstreamsWave) {
  CodecDecoder decoder = load();
  expect_close(decoder->decode(codes_of_case("xvec")), expected_tensor("synth", "xvec.wave"), 1e-4,
               "xvec");
}

TEST(CodecDecoder, StagesAreUpstreams) {
  CodecDecoder decoder = load();
  std::map<std::string, torch::Tensor> seen;
  decoder->set_probe([&](std::string_view stage, const torch::Tensor& x) {
    seen[std::string(stage)] = x.clone();
  });
  decoder->decode(expected_tensor("synth", "decode.codes"));
  for (const std::string stage : {"quantized", "pre_conv", "tr_out", "up0_conv", "up0_cnx",
                                  "up1_cnx", "conv_in", "block1", "block2"}) {
    ASSERT_TRUE(seen.count(stage)) << stage;
    const torch::Tensor expected = expected_tensor("layers", "dec." + stage);
    // The blocks are stored by their first columns.
    expect_close(seen[stage].narrow(-1, 0, expected.size(-1)), expected, 1e-4, stage);
  }
  // The first transformer layer, on the projected output of the convolution before it.
  auto transformer = decoder->named_children()["pre_transformer"];
  DecoderStack stack(std::dynamic_pointer_cast<DecoderStackImpl>(transformer));
  Linear project(std::dynamic_pointer_cast<LinearImpl>(stack->named_children()["input_proj"]));
  const torch::Tensor x = project(expected_tensor("layers", "dec.pre_conv").transpose(1, 2));
  const CodecDecoderConfig& c = fixture_config().codec.decoder;
  const Rope rope = make_rope(torch::arange(x.size(1)), c.head_dim, c.rope_theta, torch::kFloat32);
  AttentionContext context;
  context.rope = &rope;
  context.causal = true;
  expect_close(stack->block(0)(x, context, 0), expected_tensor("layers", "dec.tr0"), 1e-4, "tr0");
}

TEST(CodecDecoder, LongDecodeCrossesThePieceBorderAsUpstream) {
  CodecDecoder decoder = load();
  const torch::Tensor codes = expected_tensor("synth", "decode_long.codes");  // [306, 16]
  const torch::Tensor wave = decoder->decode(codes);
  ASSERT_EQ(wave.size(0), 306 * 1920);
  expect_close(wave.narrow(0, 299 * 1920, 4 * 1920),
               expected_tensor("synth", "decode_long.wave_299_303"), 1e-4, "frames 299 to 302");
  const torch::Tensor w = wave.to(torch::kFloat64);
  expect_close(torch::stack({w.mean(), w.abs().mean(), w.square().mean()}),
               expected_tensor("synth", "decode_long.stats"), 1e-6, "mean, |x|, x^2");
  // One pass over everything hears more than 25 frames back and differs behind the border only.
  const torch::Tensor whole = decoder(codes.to(torch::kInt64).t().unsqueeze(0))[0];
  expect_close(whole.narrow(0, 0, 300 * 1920), wave.narrow(0, 0, 300 * 1920), 1e-5, "first piece");
  EXPECT_GT((whole - wave).abs().max().item<double>(), 1e-2);
}

TEST(CodecDecoder, EachOfSeveralUtterancesEqualsTheOneAlone) {
  CodecDecoder decoder = load();
  const torch::Tensor codes = expected_tensor("synth", "decode_long.codes").to(torch::kInt64);
  const std::vector<torch::Tensor> rows = {codes.narrow(0, 20, 7), codes.narrow(0, 100, 55),
                                           codes.narrow(0, 3, 1), codes.narrow(0, 40, 55)};
  const auto together = decoder->decode(rows);
  ASSERT_EQ(together.size(), rows.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    expect_close(together[i], decoder->decode(rows[i]), 1e-5, "row " + std::to_string(i));
  }
}

TEST(CodecStream, PiecesOfAnySizeEqualTheWhole) {
  CodecDecoder decoder = load();
  const torch::Tensor codes = expected_tensor("synth", "decode_long.codes");  // [306, 16]
  const torch::Tensor whole = decoder->decode(codes);
  // One by one over the border of upstream's pieces, borders met exactly, all at once.
  std::vector<int64_t> sizes(12, 1);
  sizes.insert(sizes.begin(), {100, 1, 7, 90, 2, 96});
  for (const auto& pushes : {sizes, {300, 6}, {306}, {299, 2, 5}}) {
    CodecStream stream(decoder);
    std::vector<torch::Tensor> waves;
    int64_t done = 0;
    for (const int64_t size : pushes) {
      if (done >= 306) break;
      waves.push_back(stream.push(codes.narrow(0, done, std::min<int64_t>(size, 306 - done))));
      done += size;
    }
    const torch::Tensor wave = torch::cat(waves);
    ASSERT_EQ(wave.size(0), whole.size(0)) << pushes.size();
    expect_close(wave, whole, 1e-5, std::to_string(pushes.size()) + " pushes");
  }
  CodecStream stream(decoder);
  EXPECT_THROW(stream.push(torch::zeros({5, 15}, torch::kInt64)), DataError);
}

TEST(CodecDecoder, WrongCodes) {
  CodecDecoder decoder = load();
  const auto options = torch::kInt64;
  EXPECT_THROW(decoder->decode(torch::zeros({0, 16}, options)), DataError);
  EXPECT_THROW(decoder->decode(torch::zeros({5, 15}, options)), DataError);
  EXPECT_THROW(decoder->decode(torch::zeros({16}, options)), DataError);
  EXPECT_THROW(decoder->decode(torch::zeros({5, 16})), DataError);
  EXPECT_THROW(decoder->decode(torch::full({5, 16}, 2048, options)), DataError);
  EXPECT_THROW(decoder->decode(torch::full({5, 16}, -1, options)), DataError);
}

TEST(CodecDecoder, LoadingIsStrict) {
  CodecConfig config = fixture_config().codec;
  config.decoder.upsampling_ratios = {2, 2, 2};
  EXPECT_THROW(load_codec_decoder(codec_weights(), config, torch::kCPU), DataError);
  config = fixture_config().codec;
  config.decoder.latent_dim = 32;
  EXPECT_THROW(load_codec_decoder(codec_weights(), config, torch::kCPU), DataError);
}

TEST(CodecDecoder, ReleaseShapes) {
  CodecConfig config = fixture_config().codec;
  CodecDecoderConfig& c = config.decoder;
  c.codebook_dim = 512;
  c.latent_dim = 1024;
  c.hidden_size = 512;
  c.intermediate_size = 1024;
  c.num_hidden_layers = 8;
  c.num_attention_heads = c.num_key_value_heads = 16;
  c.head_dim = 64;
  c.decoder_dim = 1536;
  CodecDecoder decoder(config);
  const auto parameters = decoder->named_parameters();
  const auto shape = [&](const std::string& name) { return parameters[name].sizes().vec(); };
  using Shape = std::vector<int64_t>;
  EXPECT_EQ(shape("quantizer.rvq_rest.output_proj.weight"), (Shape{512, 256, 1}));
  EXPECT_EQ(shape("pre_conv.conv.weight"), (Shape{1024, 512, 3}));
  EXPECT_EQ(shape("pre_transformer.input_proj.weight"), (Shape{512, 1024}));
  EXPECT_EQ(shape("pre_transformer.layers.7.self_attn.q_proj.weight"), (Shape{1024, 512}));
  EXPECT_EQ(shape("pre_transformer.output_proj.weight"), (Shape{1024, 512}));
  EXPECT_EQ(shape("upsample.1.0.conv.weight"), (Shape{1024, 1024, 2}));
  EXPECT_EQ(shape("upsample.1.1.dwconv.conv.weight"), (Shape{1024, 1, 7}));
  EXPECT_EQ(shape("upsample.1.1.pwconv1.weight"), (Shape{4096, 1024}));
  EXPECT_EQ(shape("upsample.1.1.gamma"), (Shape{1024}));
  EXPECT_EQ(shape("decoder.0.conv.weight"), (Shape{1536, 1024, 7}));
  EXPECT_EQ(shape("decoder.4.block.1.conv.weight"), (Shape{192, 96, 6}));
  EXPECT_EQ(shape("decoder.4.block.4.conv1.conv.weight"), (Shape{96, 96, 7}));
  EXPECT_EQ(shape("decoder.5.alpha"), (Shape{96}));
  EXPECT_EQ(shape("decoder.6.conv.weight"), (Shape{1, 96, 7}));
  EXPECT_TRUE(
      decoder->named_buffers().contains("quantizer.rvq_rest.vq.layers.14._codebook.embedding_sum"));
}

}  // namespace
}  // namespace ttsft::qwen3_tts
