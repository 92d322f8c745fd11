// Fish S2 Pro's codec: a DAC (Kumar et al. 2023) made causal, with windowed transformers behind its
// encoder and on both sides of its quantizer, and a first codebook of 4096 entries. Upstream:
// fish_speech/models/dac/{modded_dac,rvq}.py.
//   44.1 kHz -> convolutions, / 512 -> transformer -> / 4 -> transformer -> 10 codes, 21.5 a second
//   codes -> sum of entries -> transformer -> x 4 -> convolutions, x 512 -> 44.1 kHz
// Everything is causal, so that a row in a padded batch comes out as it would alone.
#pragma once

#include <torch/torch.h>

#include <memory>
#include <utility>
#include <vector>

#include "ttsft/codec/convnext.h"
#include "ttsft/codec/dac.h"
#include "ttsft/io/tensor_file.h"
#include "ttsft/nn/conv.h"
#include "ttsft/nn/decoder_block.h"
#include "ttsft/nn/kv_cache.h"
#include "ttsft/nn/probe.h"

namespace ttsft::fish_s2_pro {

inline constexpr int kCodecRate = 44100;  // Hz

struct CodecTransformer {
  int64_t layers = 0, width = 0, ffn = 0, head_dim = 64, window = 0;
};

// From the shapes in codec.pth; strides are half of the kernels.
struct CodecOptions {
  int64_t encoder_width = 0, decoder_width = 0, latent = 0;
  std::vector<int64_t> down, up;  // strides of the convolutions: 2 4 8 8, 8 8 4 2
  int64_t halvings = 0;           // strides of 2 around the quantizer
  int64_t code_dim = 0;
  std::vector<int64_t> codebooks;  // entries of each level: 4096, 1024, ..
  CodecTransformer encoder, pre, post;

  int64_t hop() const;  // samples of a frame: 2048
  int64_t levels() const { return static_cast<int64_t>(codebooks.size()); }
};

// Heads of the transformers are no shapes: 64 wide in the release, else as given.
CodecOptions codec_options(const TensorFile& codec, int64_t encoder_head_dim,
                           int64_t quantizer_head_dim);

// What the decoder has heard of codes that come piece by piece.
struct CodecPast {
  ConvStream convolutions;
  KvCache keys;
};

// One level: vectors are compared in a few dimensions, by angle. Child names: in_proj, out_proj,
// codebook.
class CodebookImpl : public torch::nn::Module {
 public:
  CodebookImpl(int64_t width, int64_t dim, int64_t entries);
  torch::Tensor encode(const torch::Tensor& x);      // [N, width] -> [N]
  torch::Tensor decode(const torch::Tensor& codes);  // [..] -> [.., width]

 private:
  Conv1d in_proj{nullptr}, out_proj{nullptr};
  torch::Tensor table_;  // codebook.weight [K, dim]
};
TORCH_MODULE(Codebook);

// Child names: downsample.N.{0, 1}, pre_module, semantic_quantizer.quantizers.0,
// quantizer.quantizers.N, post_module, upsample.N.{0, 1}.
class QuantizerImpl : public torch::nn::Module {
 public:
  explicit QuantizerImpl(const CodecOptions& options);
  // [B, latent, T] -> [B, T / 4, levels]. Stages: downsample0, downsample, pre_module.
  torch::Tensor encode(const torch::Tensor& x, const StageProbe& probe = {});
  // [B, T, levels] -> [B, latent, 4 T]. Codes behind a table's end are its last entry. Stages:
  // z_q, post_module, upsample0, upsample.
  torch::Tensor decode(const torch::Tensor& codes, CodecPast& past, const StageProbe& probe = {});
  KvCache make_cache(int64_t rows) const;

 private:
  std::vector<std::pair<CausalConv1d, ConvNeXt>> downsample_;
  std::vector<std::pair<CausalConvTranspose1d, ConvNeXt>> upsample_;
  DecoderStack pre_module{nullptr}, post_module{nullptr};
  std::vector<Codebook> levels_;
};
TORCH_MODULE(Quantizer);

// Child names: block.0, block.N.block.{0, 1, 2, 3, 4} and, of the last one, block.5.
class EncoderImpl : public torch::nn::Module {
 public:
  explicit EncoderImpl(const CodecOptions& options);
  // [B, 1, N] of whole frames -> [B, latent, N / 512]. Stages: enc.0, enc.1, .., enc.4.conv, enc.6.
  torch::Tensor forward(const torch::Tensor& wave, const StageProbe& probe = {});

 private:
  struct Stage {
    std::vector<DacUnit> units;
    Snake snake{nullptr};
    CausalConv1d down{nullptr};
  };
  CausalConv1d first_{nullptr}, last_{nullptr};
  std::vector<Stage> stages_;
  DecoderStack transformer_{nullptr};
  Snake snake_{nullptr};
};
TORCH_MODULE(Encoder);

// Child names: model.0, model.N.block.{0, 1, 2, 3, 4}, model.5, model.6.
class DecoderImpl : public torch::nn::Module {
 public:
  explicit DecoderImpl(const CodecOptions& options);
  // [B, latent, T] -> [B, 512 T], in (-1, 1). Stages: decoder.0, decoder.1, ..
  torch::Tensor forward(const torch::Tensor& x, ConvStream& past, const StageProbe& probe = {});

 private:
  CausalConv1d first_{nullptr}, last_{nullptr};
  std::vector<DacUpBlock> blocks_;
  Snake snake_{nullptr};
};
TORCH_MODULE(Decoder);

class CodecImpl : public torch::nn::Module {
 public:
  explicit CodecImpl(const CodecOptions& options);

  // Waves at 44.1 kHz [N], on any device -> codes [ceil(N / 2048), levels], int64, on the CPU.
  // Like lengths share a batch; each as it would be alone.
  std::vector<torch::Tensor> encode(const std::vector<torch::Tensor>& waves,
                                    const StageProbe& probe = {});
  // Codes [F, levels] -> waves [2048 F], float32, on the CPU, in pieces that bound the memory.
  // DataError: a wrong shape, a code below 0 or of 4096 and more.
  std::vector<torch::Tensor> decode(const std::vector<torch::Tensor>& codes,
                                    const StageProbe& probe = {});

  // The same for codes that go on from those before: [B, f, levels] -> [B, 2048 f], on the device.
  CodecPast make_past(int64_t rows) const;
  torch::Tensor decode_more(const torch::Tensor& codes, CodecPast& past,
                            const StageProbe& probe = {});
  void check(const torch::Tensor& codes) const;  // [F, levels]; DataError as decode()

  const CodecOptions& options() const { return options_; }

 private:
  CodecOptions options_;
  Encoder encoder{nullptr};
  Quantizer quantizer{nullptr};
  Decoder decoder{nullptr};
};
TORCH_MODULE(Codec);

// codec.pth, plain or under `state_dict`, its names with or without "generator." in front.
Codec load_codec(const std::filesystem::path& checkpoint, torch::Device device);

}  // namespace ttsft::fish_s2_pro
