// The encoder of the 12 Hz codec (Mimi, Défossez et al. 2024): 24 kHz audio -> 12.5 frames/s of 16
// codes. Upstream: transformers' MimiModel.encode as Qwen3TTSTokenizerV2 calls it.
//   SEANet convolutions (x960) -> 25/s -> causal transformer -> halving -> split residual quantiser
// The transformer sees all earlier frames: the configuration's window is ignored by upstream too.
#pragma once

#include <torch/torch.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "models/qwen3_tts/config.h"
#include "ttsft/codec/dac.h"
#include "ttsft/codec/rvq.h"
#include "ttsft/io/safetensors.h"
#include "ttsft/nn/conv.h"
#include "ttsft/nn/decoder_block.h"
#include "ttsft/nn/probe.h"

namespace ttsft::qwen3_tts {

// Child names: layers.N; the activations between count as layers too.
class SeanetEncoderImpl : public torch::nn::Module {
 public:
  explicit SeanetEncoderImpl(const CodecEncoderConfig& config);
  torch::Tensor forward(const torch::Tensor& x, RowLengths& lengths,
                        const StageProbe& probe);  // [B, 1, N] -> [B, hidden, N / 960]

 private:
  struct Stage {
    int64_t down_index;  // of the strided convolution among layers
    std::vector<std::pair<int64_t, DacUnit>> units;
    CausalConv1d down;
  };
  CausalConv1d first_{nullptr}, last_{nullptr};
  int64_t last_index_ = 0;
  std::vector<Stage> stages_;
};
TORCH_MODULE(SeanetEncoder);

class CodecEncoderImpl : public torch::nn::Module {
 public:
  explicit CodecEncoderImpl(const CodecConfig& config);

  // Waves [B, N], float32, at the codec's rate; samples per row. Each row is encoded as if alone,
  // whatever its neighbours are. Rows of similar length waste the least. Returns int64
  // [ceil(samples / 1920), 16] per row, on the waves' device. DataError for a row without samples.
  std::vector<torch::Tensor> encode(const torch::Tensor& waves,
                                    const std::vector<int64_t>& samples);

  // What the quantiser sees, zero beyond each row's frames; lengths: samples in, frames out.
  torch::Tensor features(const torch::Tensor& waves, RowLengths& lengths);  // [B, hidden, F]

  // Tensors under encoder. that this module leaves in the file, by prefix, with the reason.
  static std::map<std::string, std::string> unused_tensors(const CodecConfig& config);

  void set_probe(StageProbe probe) { probe_ = std::move(probe); }

 private:
  SeanetEncoder encoder{nullptr};
  DecoderStack encoder_transformer{nullptr};
  CausalConv1d downsample{nullptr};
  ResidualQuantizer semantic_{nullptr}, acoustic_{nullptr};
  StageProbe probe_;
};
TORCH_MODULE(CodecEncoder);

// From speech_tokenizer/model.safetensors, in float32: codes change with less.
CodecEncoder load_codec_encoder(const std::shared_ptr<const TensorFile>& file,
                                const CodecConfig& config, torch::Device device);

}  // namespace ttsft::qwen3_tts
