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
#include "ttsft/codec/dac.h"
#include "ttsft/codec/rvq.h"
#include "ttsft/io/safetensors.h"
#include "ttsft/nn/conv.h"
#include "ttsft/nn/decoder_block.h"
#include "ttsft/nn/probe.h"

namespace ttsft::qwen3_tts {

// What the decoder has heard of a signal that comes piece by piece.
struct DecoderPast {
  ConvStream convolutions;
  KvCache keys;

  void forget();  // the next piece starts a signal
};

class CodecDecoderImpl : public torch::nn::Module {
 public:
  explicit CodecDecoderImpl(const CodecConfig& config);

  // One pass over everything. Codes [B, 16, F], int64 -> wave [B, F * 1920], float32 in [-1, 1].
  // With a past the codes go on from it; in all at most the 325 frames of a piece and its context.
  torch::Tensor forward(const torch::Tensor& codes, DecoderPast* past = nullptr);
  DecoderPast make_past(int64_t rows) const;

  // As upstream decodes: pieces of 300 frames, each with the 25 frames before it as context, which
  // differs audibly little but measurably from one pass behind frame 300. Several utterances
  // [F_i, 16], any integer type, each as if alone -> [F_i * 1920] on the module's device.
  // DataError: no frames, another number of codebooks, a code outside the codebook.
  std::vector<torch::Tensor> decode(const std::vector<torch::Tensor>& codes);
  torch::Tensor decode(const torch::Tensor& codes) { return decode(std::vector{codes}).front(); }
  void check(const torch::Tensor& codes) const;  // DataError as decode()

  // Tensors under decoder. that this module leaves in the file, by prefix, with the reason.
  static std::map<std::string, std::string> unused_tensors();

  void set_probe(StageProbe probe) { probe_ = std::move(probe); }

 private:
  struct Piece;
  void decode_pieces(std::vector<Piece> pieces, const std::vector<torch::Tensor>& codes,
                     std::vector<torch::Tensor>& waves);
  void show(const std::string& stage, const torch::Tensor& x) const;

  CodecConfig config_;
  ResidualQuantizer rvq_first_{nullptr}, rvq_rest_{nullptr};
  CausalConv1d pre_conv{nullptr};
  DecoderStack pre_transformer{nullptr};
  std::vector<std::pair<CausalConvTranspose1d, ConvNeXt>> upsample_;
  CausalConv1d conv_in_{nullptr}, conv_out_{nullptr};
  std::vector<DacUpBlock> blocks_;
  SnakeBeta act_out_{nullptr};
  StageProbe probe_;
};
TORCH_MODULE(CodecDecoder);

// The same wave for codes that come bit by bit: what a piece's frames have heard is kept from push
// to push, so that each frame is computed once, and the 25 frames before a new piece once more.
class CodecStream {
 public:
  explicit CodecStream(CodecDecoder decoder);
  torch::Tensor push(const torch::Tensor& codes);  // [f, 16] -> [f * 1920]; DataError as decode()

 private:
  torch::Tensor run(const torch::Tensor& codes);  // [f, 16] -> [f * 1920]

  CodecDecoder decoder_;
  DecoderPast past_;
  torch::Tensor context_;  // the last frames, [<= 25, 16]
  int64_t frames_ = 0;
};

// From speech_tokenizer/model.safetensors, in float32.
CodecDecoder load_codec_decoder(const std::shared_ptr<const TensorFile>& file,
                                const CodecConfig& config, torch::Device device);

}  // namespace ttsft::qwen3_tts
