// Encoder, quantizer and decoder against upstream's layer by layer, and rows of a batch as alone.
#include "models/voxtral/codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "models/voxtral/acoustic.h"
#include "tests/models/voxtral/voxtral_fixture.h"
#include "tests/support/temporary_folder.h"
#include "ttsft/core/error.h"

namespace ttsft::voxtral::test {
namespace {

using ::testing::HasSubstr;

// Upstream's outputs are [T, C] or [1, T, C] behind a transformer and [1, C, T] behind a
// convolution; of the decoder's blocks every second one is a transformer.
torch::Tensor as_channels(const std::string& name, const torch::Tensor& wanted) {
  const bool transformer = name.starts_with("dec.block") && (name.back() - '0') % 2 == 1;
  if (transformer) return wanted.transpose(1, 2);
  return wanted.dim() == 3 ? wanted : wanted.t().unsqueeze(0);
}

TEST(Codec, SlopesBeginWithOne) {
  const auto slopes = alibi_slopes(4);
  expect_close(torch::tensor(slopes), expected("layers", "alibi_slopes"), 1e-7);
  EXPECT_THAT(alibi_slopes(6), ::testing::ElementsAre(1, 0.25, 0.0625, 0.015625, 1, 0.25));
}

TEST(Codec, EncoderIsUpstreamsLayerByLayer) {
  Codec codec = loaded_codec();
  const torch::Tensor wave = expected("layers", "enc.input_wav");
  int compared = 0;
  codec.encode({wave}, [&](std::string_view name, const torch::Tensor& x) {
    expect_near_peak(x, as_channels(std::string(name), expected("layers", std::string(name))),
                     std::string(name));
    ++compared;
  });
  EXPECT_EQ(compared, 10);
}

TEST(Codec, DecoderIsUpstreamsLayerByLayer) {
  Codec codec = loaded_codec();
  const torch::Tensor codes = expected("layers", "dec.codes").t().to(torch::kInt64);
  int compared = 0;
  const auto waves = codec.decode({codes}, [&](std::string_view name, const torch::Tensor& x) {
    expect_near_peak(x, as_channels(std::string(name), expected("layers", std::string(name))),
                     std::string(name));
    ++compared;
  });
  EXPECT_EQ(compared, 10);
  expect_near_peak(waves[0], expected("layers", "dec.wav"), "wave");
}

TEST(Codec, LatentsAndCodesOfRecordingsAreUpstreams) {
  Codec codec = loaded_codec();
  for (const char* id : {"a", "b", "c", "ref"}) {
    torch::Tensor latent;
    const auto codes = codec.encode({clip_wave(id)}, [&](std::string_view name, const auto& x) {
      if (name == "enc.latent") latent = x[0].t();
    });
    expect_near_peak(latent, expected("prep", std::string(id) + ".latent"), id);
    expect_equal(codes[0], clip_codes(id), id);
  }
}

TEST(Codec, AnEntryThatWasNeverUsedIsDividedAsUpstreamDoes) {
  const Codec codec = loaded_codec();
  expect_near_peak(codec.quantizer->codebook().narrow(0, 0, 8),
                   expected("layers", "codebook.rows_0_8"), "entries", 1e-6);
  EXPECT_EQ(codec.quantizer->named_parameters()["semantic_codebook.cluster_usage"][5].item<float>(),
            0);
}

// Odd lengths repeat their last column before each stride of 2, wherever the batch ends.
TEST(Codec, RowsOfABatchAreAsAlone) {
  Codec codec = loaded_codec();
  const torch::Tensor wave = clip_wave("c");
  std::vector<torch::Tensor> waves;
  for (int64_t columns = 1; columns <= 20; ++columns)
    waves.push_back(wave.narrow(0, 100 * columns, 240 * columns - columns % 7).clone());
  waves.push_back(wave);
  const auto together = codec.encode(waves);
  for (size_t i = 0; i < waves.size(); ++i) {
    const auto alone = codec.encode({waves[i]});
    EXPECT_EQ(alone[0].size(0), (waves[i].size(0) + 1919) / 1920) << i;
    expect_equal(together[i], alone[0], "row " + std::to_string(i));
  }
  const auto spoken = codec.decode({clip_codes("a"), clip_codes("c"), clip_codes("b")});
  size_t row = 0;
  for (const char* id : {"a", "c", "b"})
    expect_near_peak(spoken[row++], codec.decode({clip_codes(id)})[0], id, 1e-6);
}

TEST(Codec, PiecesAreTheWhole) {
  Acoustic acoustic(loaded_codec());
  EXPECT_GE(acoustic.codec().decoder->past_frames(), 10);
  // Long enough for windows to end and for what is far back to be forgotten.
  const torch::Tensor codes =
      torch::cat({clip_codes("a"), clip_codes("ref"), clip_codes("c"), clip_codes("ref")});
  const torch::Tensor whole = acoustic.codec().decode({codes})[0];
  auto stream = acoustic.stream({});
  std::vector<torch::Tensor> pieces;
  int64_t done = 0;
  for (const int64_t size : {5, 25, 1, 30, 24}) {
    pieces.push_back(stream->push(codes.narrow(0, done, size)));
    EXPECT_EQ(pieces.back().size(0), 1920 * size);
    done += size;
  }
  ASSERT_EQ(done, codes.size(0));
  EXPECT_EQ(stream->flush().numel(), 0);
  expect_near_peak(torch::cat(pieces), whole, "stream", 2e-6);
}

TEST(Codec, ReachOfTheReleaseIs21Frames) {
  CodecConfig config;
  config.dim = 8;
  config.hidden = 8;
  config.heads = config.kv_heads = 1;
  config.head_dim = 8;
  config.decoder = {{2, 2, 2, 2}, {3, 4, 4, 4}, {1, 2, 2, 2}};
  EXPECT_EQ(CodecDecoder(config)->past_frames(), 21);
}

// So long that attention runs in bands: as it would in one matrix.
TEST(Codec, LongRecordingsAreAsTheirBeginnings) {
  Codec codec = loaded_codec();
  const torch::Tensor wave = torch::cat({clip_wave("ref"), clip_wave("c"), clip_wave("ref")});
  const torch::Tensor whole = codec.encode({wave})[0];
  const torch::Tensor part = codec.encode({wave.narrow(0, 0, 20 * 1920)})[0];
  expect_equal(whole.narrow(0, 0, 20), part);
}

// Faults of public ports; the fixture's README says how far off each of them is.
TEST(Codec, WrongVariantsAreFarOff) {
  const CodecConfig right = read_config(checkpoint()).codec;
  const torch::Tensor wanted = expected("layers", "dec.wav"),
                      codes = expected("layers", "dec.codes").t().to(torch::kInt64);
  const auto error = [&](const CodecConfig& config) {
    const auto waves = load_codec(checkpoint(), config, torch::kCPU).decode({codes});
    return ((waves[0] - wanted).abs().max() / wanted.abs().max()).item<double>();
  };
  EXPECT_LT(error(right), 2e-5);
  CodecConfig other = right;
  other.norm_eps = 1e-5;
  EXPECT_GT(error(other), 0.02) << "epsilon of the language model";
  other = right;
  other.window = 8;
  EXPECT_GT(error(other), 0.1) << "half the window";
}

TEST(Codec, WrongCodesAreRefused) {
  Codec codec = loaded_codec();
  EXPECT_THROW(codec.decode({torch::zeros({3, 36}, torch::kInt64)}), DataError);
  torch::Tensor codes = clip_codes("a").clone();
  codes[0][3] = 21;
  EXPECT_THAT(message_of<DataError>([&] { codec.decode({codes}); }), HasSubstr("0 to 20"));
  codes = clip_codes("a").clone();
  codes[1][0] = 8192;
  EXPECT_THAT(message_of<DataError>([&] { codec.decode({codes}); }), HasSubstr("0 to 8191"));
}

TEST(Codec, WithoutAnEncoderThereIsNone) {
  const TemporaryFolder folder;
  std::filesystem::copy(checkpoint(), folder / "bare", std::filesystem::copy_options::recursive);
  std::filesystem::remove(folder / "bare/voxtral_encoder.safetensors");
  EXPECT_TRUE(encoder_file(folder / "bare").empty());
  const CodecConfig config = read_config(folder / "bare").codec;
  EXPECT_FALSE(load_codec(folder / "bare", config, torch::kCPU).encodes());
  Codec codec = load_codec(folder / "bare", config, torch::kCPU,
                           checkpoint() / "voxtral_encoder.safetensors");
  expect_equal(codec.encode({clip_wave("a")})[0], clip_codes("a"));
}

}  // namespace
}  // namespace ttsft::voxtral::test
