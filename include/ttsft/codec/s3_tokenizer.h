// The S3 speech tokenizer (CosyVoice 2's v2 and CosyVoice 3's v3, which differ in size alone):
// 16 kHz speech -> 25 codes/s. Upstream: s3tokenizer 0.3.0, model_v2.py (LayerNorm eps 1e-5
// throughout; releases up to 0.2.0 took 1e-6 for attn_ln).
//   log-mel (100/s) -> two strided convolutions (25/s) -> transformer with an FSMN memory
//   -> finite scalar quantisation: 8 digits of base 3, one code
#pragma once

#include <torch/torch.h>

#include <memory>
#include <string>
#include <vector>

#include "ttsft/features/mel.h"
#include "ttsft/io/tensor_file.h"
#include "ttsft/nn/conv.h"
#include "ttsft/nn/layers.h"
#include "ttsft/nn/linear.h"
#include "ttsft/nn/probe.h"
#include "ttsft/nn/rope.h"

namespace ttsft {

inline constexpr int64_t kS3SampleRate = 16000;  // Hz
inline constexpr int64_t kS3MelFrames = 4;       // of 10 ms per code

struct S3TokenizerOptions {
  int64_t mels = 128, width = 1280, heads = 20, layers = 6, ffn = 5120;
  int64_t memory_kernel = 31;  // frames that the FSMN memory spans
  int64_t digits = 8;          // of base 3 in a code
};

// Dimensions of the tokenizer that a file holds under a prefix; the number of heads is not written
// in any shape. DataError when the file holds none or the heads do not divide its width.
S3TokenizerOptions read_s3_options(const TensorFile& file, const std::string& prefix,
                                   int64_t heads);

// Finite scalar quantisation (Mentzer et al. 2023) to three levels per dimension. Child name:
// project_down.
class S3QuantizerImpl : public torch::nn::Module {
 public:
  S3QuantizerImpl(int64_t width, int64_t digits);
  torch::Tensor forward(const torch::Tensor& x, const StageProbe& probe);  // [.., D] -> [..] int64

 private:
  Linear project_down{nullptr};
};
TORCH_MODULE(S3Quantizer);

// Self-attention and, beside it, a depthwise convolution over the values of all heads (FSMN). Child
// names: query, key (no bias), value, out, fsmn_block.
class S3AttentionImpl : public torch::nn::Module {
 public:
  explicit S3AttentionImpl(const S3TokenizerOptions& options);
  // x [B, T, D]; real [B, T] bool, undefined when all frames of all rows are.
  torch::Tensor forward(const torch::Tensor& x, const Rope& rope, const torch::Tensor& real);

 private:
  int64_t heads_, kernel_;
  Linear query{nullptr}, key{nullptr}, value{nullptr}, out{nullptr};
  Conv1d fsmn_block{nullptr};
};
TORCH_MODULE(S3Attention);

// Child names: attn, attn_ln, mlp_ln, mlp.0, mlp.2.
class S3BlockImpl : public torch::nn::Module {
 public:
  explicit S3BlockImpl(const S3TokenizerOptions& options);
  torch::Tensor forward(const torch::Tensor& x, const Rope& rope, const torch::Tensor& real);

 private:
  S3Attention attn{nullptr};
  LayerNorm attn_ln{nullptr}, mlp_ln{nullptr};
  Linear up_{nullptr}, down_{nullptr};
};
TORCH_MODULE(S3Block);

// Child names: conv1, conv2, blocks.N.
class S3EncoderImpl : public torch::nn::Module {
 public:
  explicit S3EncoderImpl(const S3TokenizerOptions& options);
  // log_mel [B, mels, T], zero beyond the lengths; lengths: frames in, codes out.
  torch::Tensor forward(const torch::Tensor& log_mel, RowLengths& lengths,
                        const StageProbe& probe);  // [B, T / 4, D]

 private:
  int64_t head_dim_;
  Conv1d conv1{nullptr}, conv2{nullptr};
  std::vector<S3Block> blocks_;
};
TORCH_MODULE(S3Encoder);

class S3TokenizerImpl : public torch::nn::Module {
 public:
  explicit S3TokenizerImpl(const S3TokenizerOptions& options);

  // Waves at 16 kHz, full scale 1, each [N], on any device -> codes of each, int64 on the CPU,
  // ceil(floor(N / 160) / 4) of them. Each wave is encoded as if alone, however they are batched
  // (by length, so hardly anything is padding). Above 30 s a wave is encoded in overlapping windows
  // of 30 s. With max_codes no more than 4 max_codes frames of the log-mel are encoded; its
  // normalisation still hears the whole wave. DataError for a wave of 200 samples or fewer.
  std::vector<torch::Tensor> encode(const std::vector<torch::Tensor>& waves, int64_t max_codes = 0);

  // [mels, T], float32, on the tokenizer's device, one per wave.
  std::vector<torch::Tensor> log_mel(const std::vector<torch::Tensor>& waves) const;

  // log_mel [B, mels, T], T up to 3000; lengths: frames in, codes out. [B, ceil(ceil(T / 2) / 2)]
  // codes, int64, zero beyond the lengths. Rows are as if alone.
  torch::Tensor quantize(const torch::Tensor& log_mel, RowLengths& lengths);

  // The numbers that a checkpoint may bring for its front end, instead of computed ones.
  void set_filters(const torch::Tensor& filters);  // [mels, 201]
  void set_window(const torch::Tensor& window);    // [400]

  void set_probe(StageProbe probe) { probe_ = std::move(probe); }

 private:
  torch::Tensor log_mel_of(const torch::Tensor& wave) const;

  S3TokenizerOptions options_;
  S3Encoder encoder{nullptr};
  S3Quantizer codebook_{nullptr};
  torch::Tensor filters_, window_;
  StageProbe probe_;
};
TORCH_MODULE(S3Tokenizer);

// The log-mel's spectrum and filters: 25 ms windows every 10 ms, 128 Slaney bands up to 8 kHz.
MelOptions s3_mel_options(int64_t mels = 128);

// Strictly from the tensors under a prefix ("tokenizer."), in float32: codes change with less. The
// mel filters and the window are computed unless the file holds its own (_mel_filters, window),
// which then serve, as they do upstream.
S3Tokenizer load_s3_tokenizer(const std::shared_ptr<const TensorFile>& file,
                              const std::string& prefix, int64_t heads, torch::Device device);

}  // namespace ttsft
