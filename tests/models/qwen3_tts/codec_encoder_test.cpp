#include "models/qwen3_tts/codec_encoder.h"

#include <gtest/gtest.h>

#include "tests/models/qwen3_tts/fixture.h"
#include "ttsft/core/error.h"

namespace ttsft::qwen3_tts {
namespace {

using namespace ttsft::qwen3_tts::test;  // NOLINT: test helpers

CodecEncoder load() {
  return load_codec_encoder(codec_weights(), fixture_config().codec, torch::kCPU);
}

// Rows padded with what must not be heard.
torch::Tensor pad_rows(const std::vector<torch::Tensor>& rows, float filler) {
  int64_t longest = 0;
  for (const torch::Tensor& row : rows) longest = std::max(longest, row.size(0));
  torch::Tensor batch = torch::full({static_cast<int64_t>(rows.size()), longest}, filler);
  for (size_t i = 0; i < rows.size(); ++i) batch[i].narrow(0, 0, rows[i].size(0)).copy_(rows[i]);
  return batch;
}

std::vector<int64_t> sizes_of(const std::vector<torch::Tensor>& rows) {
  std::vector<int64_t> sizes;
  for (const torch::Tensor& row : rows) sizes.push_back(row.size(0));
  return sizes;
}

torch::Tensor encode_alone(CodecEncoder& encoder, const torch::Tensor& wave) {
  return encoder->encode(wave.unsqueeze(0), {wave.size(0)}).front();
}

torch::Tensor golden_codes(const std::string& name) {
  return expected_tensor("prep", name).to(torch::kInt64);
}

TEST(CodecEncoder, SingleFilesGiveUpstreamsCodes) {
  CodecEncoder encoder = load();
  for (const std::string clip : {"a", "b", "c", "ref"}) {
    const torch::Tensor wave = fixture_wave(clip);
    EXPECT_EQ(wave.size(0), expected_tensor("prep", "num_samples." + clip).item<int64_t>());
    expect_equal(encode_alone(encoder, wave), golden_codes("codes_single." + clip), clip);
  }
}

TEST(CodecEncoder, StagesAreUpstreams) {
  CodecEncoder encoder = load();
  std::map<std::string, torch::Tensor> seen;
  encoder->set_probe([&](std::string_view stage, const torch::Tensor& x) {
    seen[std::string(stage)] = x.clone();
  });
  encode_alone(encoder, fixture_wave("a"));
  for (const std::string stage :
       {"conv0", "conv1", "conv3", "conv6", "conv9", "conv12", "conv14", "downsample"}) {
    ASSERT_TRUE(seen.count(stage)) << stage;
    const torch::Tensor expected = expected_tensor("layers", "enc." + stage);
    const int64_t columns = expected.size(-1);  // the last ones, 64 at most
    expect_close(seen[stage].narrow(-1, seen[stage].size(-1) - columns, columns), expected, 1e-4,
                 stage);
  }
  expect_close(seen["tr_last"], expected_tensor("layers", "enc.tr_last"), 1e-4, "tr_last");
}

TEST(CodecEncoder, EachRowOfABatchEqualsTheRowAlone) {
  CodecEncoder encoder = load();
  const std::vector<std::string> clips = {"ref", "c", "a", "b"};
  std::vector<torch::Tensor> waves;
  for (const std::string& clip : clips) waves.push_back(fixture_wave(clip));
  const auto codes = encoder->encode(pad_rows(waves, 0.3f), sizes_of(waves));
  ASSERT_EQ(codes.size(), clips.size());
  for (size_t i = 0; i < clips.size(); ++i) {
    expect_equal(codes[i], golden_codes("codes_single." + clips[i]), clips[i]);
  }
}

// Every remainder of the strides 4, 5, 6, 8 and 2 occurs at the ends of these rows.
TEST(CodecEncoder, OddLengthsAreEncodedAsIfAlone) {
  CodecEncoder encoder = load();
  const torch::Tensor speech = fixture_wave("c");
  std::vector<torch::Tensor> waves;
  for (const int64_t length :
       {1L, 3L, 959L, 960L, 961L, 1919L, 1920L, 1921L, 2879L, 4801L, 7000L}) {
    waves.push_back(speech.narrow(0, 5000 + length, length));
  }
  const torch::Tensor batch = pad_rows(waves, -0.5f);
  RowLengths frames = sizes_of(waves);
  const torch::Tensor together = encoder->features(batch, frames);
  for (size_t i = 0; i < waves.size(); ++i) {
    const std::string what = std::to_string(waves[i].size(0)) + " samples";
    EXPECT_EQ(frames[i], (waves[i].size(0) + 1919) / 1920) << what;
    RowLengths own = {waves[i].size(0)};
    const torch::Tensor alone = encoder->features(waves[i].unsqueeze(0), own)[0];
    expect_close(together[i].narrow(-1, 0, frames[i]), alone, 2e-5, what);
  }
  const auto codes = encoder->encode(batch, sizes_of(waves));
  for (size_t i = 0; i < waves.size(); ++i) {
    expect_equal(codes[i], encode_alone(encoder, waves[i]), std::to_string(waves[i].size(0)));
  }
}

// Upstream pads the audio of a batch with zeros, which is not silence behind the biases: only a
// row's last frame hears it.
TEST(CodecEncoder, OnlyTheLastFrameDiffersFromUpstreamsBatch) {
  int64_t different = 0;
  for (const std::string clip : {"a", "b", "c"}) {
    const torch::Tensor single = golden_codes("codes_single." + clip);
    const torch::Tensor batched = golden_codes("codes_batched." + clip);
    const int64_t last = single.size(0) - 1;
    expect_equal(single.narrow(0, 0, last), batched.narrow(0, 0, last), clip);
    different += !single[last].equal(batched[last]);
  }
  EXPECT_EQ(different, 1);
  // Such a batch through our encoder, the padding taken as audio, gives upstream's batch.
  CodecEncoder encoder = load();
  const std::vector<torch::Tensor> waves = {fixture_wave("a"), fixture_wave("b"),
                                            fixture_wave("c")};
  const torch::Tensor batch = pad_rows(waves, 0.0f);
  const auto codes = encoder->encode(batch, std::vector<int64_t>(3, batch.size(1)));
  int64_t row = 0;
  for (const std::string clip : {"a", "b", "c"}) {
    const torch::Tensor batched = golden_codes("codes_batched." + clip);
    expect_equal(codes[row++].narrow(0, 0, batched.size(0)), batched, clip);
  }
}

TEST(CodecEncoder, BadBatches) {
  CodecEncoder encoder = load();
  EXPECT_THROW(encoder->encode(torch::zeros({1, 100}), {0}), DataError);
  EXPECT_THROW(encoder->encode(torch::zeros({1, 100}), {101}), DataError);
  EXPECT_THROW(encoder->encode(torch::zeros({2, 100}), {100}), std::logic_error);
  EXPECT_THROW(encoder->encode(torch::zeros({100}), {100}), std::logic_error);
}

TEST(CodecEncoder, LoadingIsStrict) {
  CodecConfig config = fixture_config().codec;
  config.encoder.num_hidden_layers = 3;
  EXPECT_THROW(load_codec_encoder(codec_weights(), config, torch::kCPU), DataError);
  config = fixture_config().codec;
  config.encoder.num_quantizers = 16;  // the file holds 17
  EXPECT_THROW(load_codec_encoder(codec_weights(), config, torch::kCPU), DataError);
}

CodecConfig release_config() {
  CodecConfig config = fixture_config().codec;
  CodecEncoderConfig& c = config.encoder;
  c.num_filters = 64;
  c.hidden_size = 512;
  c.num_hidden_layers = 8;
  c.num_attention_heads = c.num_key_value_heads = 8;
  c.head_dim = 64;
  c.intermediate_size = 2048;
  c.codebook_dim = 256;
  c.num_quantizers = 32;
  return config;
}

TEST(CodecEncoder, ReleaseShapes) {
  CodecEncoder encoder(release_config());
  const auto parameters = encoder->named_parameters();
  const auto buffers = encoder->named_buffers();
  const auto shape = [&](const std::string& name) { return parameters[name].sizes().vec(); };
  using Shape = std::vector<int64_t>;
  EXPECT_EQ(shape("encoder.layers.0.conv.weight"), (Shape{64, 1, 7}));
  EXPECT_EQ(shape("encoder.layers.10.block.1.conv.weight"), (Shape{256, 512, 3}));
  EXPECT_EQ(shape("encoder.layers.10.block.3.conv.weight"), (Shape{512, 256, 1}));
  EXPECT_EQ(shape("encoder.layers.3.conv.weight"), (Shape{128, 64, 8}));
  EXPECT_EQ(shape("encoder.layers.12.conv.weight"), (Shape{1024, 512, 16}));
  EXPECT_EQ(shape("encoder.layers.14.conv.weight"), (Shape{512, 1024, 3}));
  EXPECT_EQ(shape("encoder_transformer.layers.7.mlp.fc1.weight"), (Shape{2048, 512}));
  EXPECT_EQ(shape("downsample.conv.weight"), (Shape{512, 512, 4}));
  EXPECT_FALSE(parameters.contains("downsample.conv.bias"));
  EXPECT_EQ(shape("quantizer.acoustic_residual_vector_quantizer.input_proj.weight"),
            (Shape{256, 512, 1}));
  EXPECT_EQ(buffers["quantizer.semantic_residual_vector_quantizer.layers.0.codebook.embed_sum"]
                .sizes()
                .vec(),
            (Shape{2048, 256}));
  const std::string acoustic = "quantizer.acoustic_residual_vector_quantizer.layers.";
  EXPECT_TRUE(buffers.contains(acoustic + "14.codebook.cluster_usage"));
  EXPECT_FALSE(buffers.contains(acoustic + "15.codebook.cluster_usage"));
}

}  // namespace
}  // namespace ttsft::qwen3_tts
