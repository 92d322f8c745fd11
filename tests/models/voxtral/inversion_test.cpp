// Codes by gradient. The fixture's codec is narrower than its latent, so that only the loss can
// fall there; a random one that is wide enough gives its codes back.
#include "models/voxtral/inversion.h"

#include <gtest/gtest.h>

#include "models/voxtral/errors.h"
#include "tests/models/voxtral/voxtral_fixture.h"
#include "ttsft/nn/rng.h"

namespace ttsft::voxtral::test {
namespace {

// Specification section 9.3: width 96, 12 + 36 numbers a frame, 512 entries.
Codec wide_codec() {
  CodecConfig config;
  config.semantic_codes = 512;
  config.semantic_dim = 12;
  config.dim = 96;
  config.hidden = 192;
  config.heads = config.kv_heads = 4;
  config.head_dim = 24;
  config.encoder = {{1, 1, 1, 1}, {4, 4, 4, 3}, {2, 2, 2, 1}};
  config.decoder = {{1, 1, 1, 1}, {3, 4, 4, 4}, {1, 2, 2, 2}};
  const torch::NoGradGuard no_grad;
  torch::Generator generator = make_generator(torch::kCPU, 3);
  CodecDecoder decoder(config);
  for (const auto& item : decoder->named_parameters()) {
    torch::Tensor value = item.value();
    if (item.key().ends_with("_scale")) {
      value.fill_(0.1);
    } else if (value.dim() == 1) {
      value.fill_(1);
    } else {
      value.normal_(0, 1 / std::sqrt(static_cast<double>(value.numel() / value.size(0))),
                    generator);
    }
    value.requires_grad_(false);
  }
  Quantizer quantizer(config);
  for (const auto& item : quantizer->named_parameters()) {
    torch::Tensor value = item.value();
    item.key().ends_with("usage") ? value.fill_(1) : value.normal_(0, 1, generator);
  }
  quantizer->codebook();
  return Codec(config, quantizer, decoder, CodecEncoder(nullptr));
}

torch::Tensor random_codes(const CodecConfig& config, int64_t frames, uint64_t seed) {
  torch::Generator generator = make_generator(torch::kCPU, seed);
  return torch::cat(
      {torch::randint(0, config.semantic_codes, {frames, 1}, generator, torch::kInt64),
       torch::randint(0, config.levels, {frames, config.acoustic_dim}, generator, torch::kInt64)},
      1);
}

TEST(Inversion, CodesOfWhatTheDecoderSaidComeBack) {
  Codec codec = wide_codec();
  const torch::Tensor codes = random_codes(codec.config(), 10, 5);
  const torch::Tensor wave = codec.decode({codes})[0].clone();
  const auto found = invert(codec, {wave}, {.steps = 300});
  expect_equal(found[0].codes, codes);
  EXPECT_LT(found[0].error, 1e-4);
}

TEST(Inversion, AClipIsAsAloneAndWindowsAreJoined) {
  Codec codec = wide_codec();
  const torch::Tensor first = codec.decode({random_codes(codec.config(), 6, 6)})[0].clone();
  const torch::Tensor second =
      codec.decode({random_codes(codec.config(), 9, 7)})[0].narrow(0, 0, 9 * 1920 - 500).clone();
  // Windows of 4 frames: three of the second clip, the last of a single frame.
  const InversionOptions options{.steps = 12, .window_seconds = 0.32, .overlap = 2};
  const auto both = invert(codec, {first, second}, options);
  EXPECT_EQ(both[1].codes.size(0), 9);
  const auto alone = invert(codec, {second}, options);
  EXPECT_NEAR(both[1].error, alone[0].error, 1e-2 * alone[0].error);
  const auto equal = (both[1].codes == alone[0].codes).to(torch::kFloat32).mean().item<double>();
  EXPECT_GT(equal, 0.98) << "rounding may move a value that lies between two codes";
}

TEST(Inversion, TheErrorOfARecordingFalls) {
  Codec codec = loaded_codec();
  codec.encoder = CodecEncoder(nullptr);
  const torch::Tensor wave = clip_wave("b");
  const double few = invert(codec, {wave}, {.steps = 6})[0].error,
               many = invert(codec, {wave}, {.steps = 90})[0].error;
  EXPECT_LT(many, 0.9 * few);
}

TEST(Inversion, ErrorsAreOfARowsOwnSamples) {
  const torch::Tensor wanted = torch::randn({2, 8000}), wave = torch::randn({2, 8000});
  const torch::Tensor both = spectral_error(wave, wanted, {8000, 4000});
  EXPECT_NEAR(both[1].item<float>(),
              spectral_error(wave.slice(0, 1).narrow(1, 0, 4000),
                             wanted.slice(0, 1).narrow(1, 0, 4000), {4000})
                  .item<float>(),
              1e-5);
  EXPECT_EQ(spectral_error(wanted, wanted, {8000, 8000}).max().item<float>(), 0);
  EXPECT_NEAR(wave_error(wave, wanted, {8000, 4000})[1].item<float>(),
              (wave[1] - wanted[1]).abs().narrow(0, 0, 4000).mean().item<float>(), 1e-6);
}

}  // namespace
}  // namespace ttsft::voxtral::test
