// Voxtral's codec: causal transformers with ALiBi between strided convolutions, one
// vector-quantised semantic code and 36 finite scalar ones (Mentzer et al. 2023) a frame. Paper:
// arXiv 2603.25551, section 3; upstream: vllm-omni, voxtral_tts_audio_tokenizer.py.
//   24 kHz -> patches of 240 -> 4 x (transformer, convolution) -> 292 numbers, 12.5 times a second
//   codes -> 292 numbers -> 4 x (convolution, transformer) -> patches of 240 -> 24 kHz
// Everything is causal but for one repeated last column before a stride of 2, which each row of a
// batch gets as it would alone.
#pragma once

#include <torch/torch.h>

#include <memory>
#include <vector>

#include "models/voxtral/config.h"
#include "ttsft/io/tensor_file.h"
#include "ttsft/nn/conv.h"
#include "ttsft/nn/decoder_block.h"
#include "ttsft/nn/probe.h"

namespace ttsft::voxtral {

// Finite scalar codes as values: [..] codes -> evenly spaced in -1..1, and back to the nearest one
// (the even one of two).
torch::Tensor values_of(const torch::Tensor& codes, int64_t levels);
torch::Tensor codes_at(const torch::Tensor& values, int64_t levels);

// DataError with `where`: codes of another shape than [F, 37], or one that no codebook has.
void check_codes(const torch::Tensor& codes, const CodecConfig& config,
                 const std::string& where = "");

// What Voxtral's blocks call their members, in both transformers and in the codec.
BlockNames block_names();

// A convolution of patches: kernel 7, stride 1, its past reflected. Child name: conv.
class PatchConvImpl : public torch::nn::Module {
 public:
  PatchConvImpl(int64_t in, int64_t out, int64_t kernel);
  torch::Tensor forward(const torch::Tensor& x);  // [B, C, T] -> [B, C', T]

 private:
  int64_t past_;
  Conv1d conv{nullptr};
};
TORCH_MODULE(PatchConv);

// Child names: input_proj, encoder_blocks.N.
class CodecEncoderImpl : public torch::nn::Module, public Recomputing {
 public:
  explicit CodecEncoderImpl(const CodecConfig& config);
  void set_activation_checkpointing(bool on) override;

  // Waves [B, N] that are zero behind each row's samples -> numbers of frames [B, latent, T];
  // those behind ceil(samples / 1920) of a row are zero. Stages: enc.input_proj, enc.block0, ..,
  // enc.latent, all [B, C, T].
  torch::Tensor forward(const torch::Tensor& waves, const std::vector<int64_t>& samples,
                        const StageProbe& probe = {});

 private:
  struct Stage {
    DecoderStack transformer{nullptr};
    CausalConv1d conv{nullptr};  // null: none
  };
  CodecConfig config_;
  PatchConv input_proj{nullptr};
  std::vector<Stage> stages_;
};
TORCH_MODULE(CodecEncoder);

// Child names: decoder_blocks.N, output_proj.
class CodecDecoderImpl : public torch::nn::Module {
 public:
  explicit CodecDecoderImpl(const CodecConfig& config);
  // [B, latent, T] -> [B, 1920 T], differentiable. Stages: dec.block0, .., dec.output_proj.
  torch::Tensor forward(const torch::Tensor& latent, const StageProbe& probe = {});
  int64_t past_frames() const;  // that a frame hears before its own: 21

 private:
  struct Stage {
    CausalConv1d first{nullptr};        // of the first stage
    CausalConvTranspose1d up{nullptr};  // of the others; null: none
    DecoderStack transformer{nullptr};
  };
  CodecConfig config_;
  std::vector<Stage> stages_;
  PatchConv output_proj{nullptr};
};
TORCH_MODULE(CodecDecoder);

// Child names: semantic_codebook.{embedding_sum, cluster_usage}.
class QuantizerImpl : public torch::nn::Module {
 public:
  explicit QuantizerImpl(const CodecConfig& config);

  torch::Tensor codebook() const;  // entries [K, 256], float32
  // Nearest entries of vectors [N, 256] -> [N]; of equally near ones the first.
  torch::Tensor nearest(const torch::Tensor& vectors) const;
  torch::Tensor encode(const torch::Tensor& latent) const;  // [N, latent] -> [N, 37]
  torch::Tensor decode(const torch::Tensor& codes) const;   // [.., 37] -> [.., latent]

 private:
  CodecConfig config_;
  torch::Tensor embedding_sum_, cluster_usage_;  // [K, 256], [K]
  mutable torch::Tensor codebook_;
};
TORCH_MODULE(Quantizer);

// Frozen; its encoder may be missing.
class Codec {
 public:
  Codec() = default;  // nothing can be asked of it
  Codec(const CodecConfig& config, Quantizer quantizer, CodecDecoder decoder, CodecEncoder encoder)
      : quantizer(std::move(quantizer)),
        decoder(std::move(decoder)),
        encoder(std::move(encoder)),
        config_(config) {}

  bool encodes() const { return !encoder.is_empty(); }
  // Waves at 24 kHz [N] on any device -> codes [ceil(N / 1920), 37], int64, on the CPU. Like
  // lengths share a batch; each as it would be alone.
  std::vector<torch::Tensor> encode(const std::vector<torch::Tensor>& waves,
                                    const StageProbe& probe = {});
  // Codes [F, 37] -> waves [1920 F], float32, on the CPU, in pieces that bound the memory.
  // DataError: a wrong shape, or a code that no codebook has.
  std::vector<torch::Tensor> decode(const std::vector<torch::Tensor>& codes,
                                    const StageProbe& probe = {});
  const CodecConfig& config() const { return config_; }
  torch::Device device() const { return quantizer->codebook().device(); }

  Quantizer quantizer{nullptr};
  CodecDecoder decoder{nullptr};
  CodecEncoder encoder{nullptr};  // null: this checkpoint has none

 private:
  CodecConfig config_;
};

// Of a batch: zeros behind each wave, as far as the longest one's whole patches. [B, N]
torch::Tensor pad_waves(const std::vector<torch::Tensor>& waves, int64_t patch,
                        torch::Device device);

inline constexpr const char* kCodecPrefix = "audio_tokenizer.";
bool is_encoder_tensor(std::string_view name);  // of the release

// Where the encoder's tensors lie: in voxtral_encoder.safetensors, else among the weights, or
// nowhere ("").
std::filesystem::path encoder_file(const std::filesystem::path& checkpoint);
// DataError names the tensors that do not fit.
CodecEncoder load_encoder(const std::filesystem::path& file, const CodecConfig& config,
                          torch::Device device);
// encoder: the file of another one than the checkpoint's own; empty: that, where there is one.
Codec load_codec(const std::filesystem::path& checkpoint, const CodecConfig& config,
                 torch::Device device, const std::filesystem::path& encoder = {});

}  // namespace ttsft::voxtral
