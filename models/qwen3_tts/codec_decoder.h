// The decoder of the 12 Hz codec: 16 codes per frame -> 1920 samples at 24 kHz. Upstream:
// modeling_qwen3_tts_tokenizer_v2.py, Qwen3TTSTokenizerV2Decoder.
//   codebook sums -> causal windowed transformer -> x4 ConvNeXt upsampling -> x480 snake vocoder
// Everything is causal, so frames behind a row's end change nothing before it.
#pragma once

#include <torch/torch.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "models/qwen3_tts/config.h"
#include "ttsft/codec/convnext.h"
#include "ttsft/codec/rvq.h"
#include "ttsft/io/safetensors.h"
#include "ttsft/nn/conv.h"
#include "ttsft/nn/decoder_block.h"
#include "ttsft/nn/probe.h"

namespace ttsft::qwen3_tts {

// The transformer between two projections. Child names: input_proj, layers, norm, output_proj.
class PreTransformerImpl : public DecoderStackImpl {
 public:
  explicit PreTransformerImpl(const CodecDecoderConfig& config);
  torch::Tensor project(const torch::Tensor& x);    // [B, T, latent] -> [B, T, hidden]
  torch::Tensor transform(const torch::Tensor& x);  // [B, T, latent] -> [B, T, latent]

 private:
  Linear input_proj{nullptr}, output_proj{nullptr};
  RmsNorm norm{nullptr};
};
TORCH_MODULE(PreTransformer);

// x + conv2(snake(conv1(snake(x)))). Child names: act1, conv1, act2, conv2.
class VocoderUnitImpl : public torch::nn::Module {
 public:
  VocoderUnitImpl(int64_t channels, int64_t dilation);
  torch::Tensor forward(const torch::Tensor& x);  // [B, C, T]

 private:
  SnakeBeta act1{nullptr}, act2{nullptr};
  CausalConv1d conv1{nullptr}, conv2{nullptr};
};
TORCH_MODULE(VocoderUnit);

// Upsampling by a rate and three residual units. Child names: block.0 .. block.4.
class VocoderBlockImpl : public torch::nn::Module {
 public:
  VocoderBlockImpl(int64_t in, int64_t out, int64_t rate);
  torch::Tensor forward(const torch::Tensor& x);  // [B, C, T] -> [B, C / 2, T * rate]

 private:
  SnakeBeta act_{nullptr};
  CausalConvTranspose1d up_{nullptr};
  std::vector<VocoderUnit> units_;
};
TORCH_MODULE(VocoderBlock);

class CodecDecoderImpl : public torch::nn::Module {
 public:
  explicit CodecDecoderImpl(const CodecConfig& config);

  // One pass over everything. Codes [B, 16, F], int64 -> wave [B, F * 1920], float32 in [-1, 1].
  torch::Tensor forward(const torch::Tensor& codes);

  // As upstream decodes: pieces of 300 frames, each with the 25 frames before it as context, which
  // differs audibly little but measurably from one pass behind frame 300. Several utterances
  // [F_i, 16], any integer type, each as if alone -> [F_i * 1920] on the module's device.
  // DataError: no frames, another number of codebooks, a code outside the codebook.
  std::vector<torch::Tensor> decode(const std::vector<torch::Tensor>& codes);
  torch::Tensor decode(const torch::Tensor& codes) { return decode(std::vector{codes}).front(); }

  // Tensors under decoder. that this module leaves in the file, by prefix, with the reason.
  static std::map<std::string, std::string> unused_tensors();

  void set_probe(StageProbe probe) { probe_ = std::move(probe); }

 private:
  struct Piece;
  void check(const torch::Tensor& codes) const;
  void decode_pieces(std::vector<Piece> pieces, const std::vector<torch::Tensor>& codes,
                     std::vector<torch::Tensor>& waves);
  void show(const std::string& stage, const torch::Tensor& x) const;

  CodecConfig config_;
  ResidualQuantizer rvq_first_{nullptr}, rvq_rest_{nullptr};
  CausalConv1d pre_conv{nullptr};
  PreTransformer pre_transformer{nullptr};
  std::vector<std::pair<CausalConvTranspose1d, CausalConvNeXt>> upsample_;
  CausalConv1d conv_in_{nullptr}, conv_out_{nullptr};
  std::vector<VocoderBlock> blocks_;
  SnakeBeta act_out_{nullptr};
  StageProbe probe_;
};
TORCH_MODULE(CodecDecoder);

// From speech_tokenizer/model.safetensors, in float32.
CodecDecoder load_codec_decoder(const std::shared_ptr<const TensorFile>& file,
                                const CodecConfig& config, torch::Device device);

}  // namespace ttsft::qwen3_tts
