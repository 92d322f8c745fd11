// What Voxtral speaks with: a causal transformer over text and frames, a semantic head on its
// states, and a small transformer that is the velocity of each frame's flow from noise to the 36
// acoustic values. Module names are the release's. Paper: arXiv 2603.25551, section 2; upstream:
// mistral-inference's transformer, vllm-omni's voxtral_tts_audio_generation.py.
#pragma once

#include <torch/torch.h>

#include <filesystem>
#include <memory>

#include "models/voxtral/config.h"
#include "ttsft/io/tensor_file.h"
#include "ttsft/nn/checkpointing.h"
#include "ttsft/nn/decoder_block.h"
#include "ttsft/nn/layers.h"
#include "ttsft/nn/linear.h"

namespace ttsft::voxtral {

// Child names: input_projection, time_projection, llm_projection, layers.N, norm,
// semantic_codebook_output, acoustic_codebook_output.
class AcousticTransformerImpl : public torch::nn::Module {
 public:
  explicit AcousticTransformerImpl(const Config& config);

  // Vectors of times [N] -> [N, D]: cosines, then sines, of t and not of 1000 t.
  torch::Tensor embed_times(const torch::Tensor& times);
  torch::Tensor embed_states(const torch::Tensor& states) { return llm_projection(states); }
  // x [N, 36], of times and states as embedded above [N, D] -> d x / d t [N, 36]
  torch::Tensor velocity(const torch::Tensor& x, const torch::Tensor& time,
                         const torch::Tensor& state);
  // The head's rows that may be said [codes + 1, D]: those of the semantic codes under their own
  // numbers, behind them END_AUDIO.
  torch::Tensor semantic_rows() const;

  DecoderStack& stack() { return stack_; }

  Linear input_projection{nullptr}, time_projection{nullptr}, llm_projection{nullptr};
  Linear semantic_codebook_output{nullptr}, acoustic_codebook_output{nullptr};
  RmsNorm norm{nullptr};

 private:
  int64_t codes_;
  DecoderStack stack_{nullptr};
};
TORCH_MODULE(AcousticTransformer);

// Child names: mm_audio_embeddings.{tok_embeddings, audio_codebook_embeddings.embeddings},
// layers.N, norm, acoustic_transformer.
class LmImpl : public torch::nn::Module, public Recomputing {
 public:
  explicit LmImpl(const Config& config);
  void set_activation_checkpointing(bool on) override;

  // Sums over the codebooks of their rows: tokens [.., 37], each code + 2 -> [.., D].
  torch::Tensor frames(const torch::Tensor& tokens);

  DecoderStack& backbone() { return backbone_; }
  const DecoderStack& backbone() const { return backbone_; }
  const Config& config() const { return config_; }

  Table tok_embeddings{nullptr}, codebook_embeddings{nullptr};
  RmsNorm norm{nullptr};
  AcousticTransformer acoustic_transformer{nullptr};

 private:
  Config config_;
  DecoderStack backbone_{nullptr};
};
TORCH_MODULE(Lm);

// The tokens of codes [.., 37]; of a voice's [N, 37], with the frame that ends it [N + 1, 37].
torch::Tensor tokens_of(const torch::Tensor& codes);
torch::Tensor voice_tokens(const torch::Tensor& codes);
// Where they lie in the table of all codebooks.
torch::Tensor table_rows(const torch::Tensor& tokens, const Config& config);
inline constexpr const char* kCodebookTable =
    "mm_audio_embeddings.audio_codebook_embeddings.embeddings.weight";

std::shared_ptr<const TensorFile> open_weights(const std::filesystem::path& checkpoint);
// DataError names tensors that do not fit.
Lm load_lm(const std::filesystem::path& checkpoint, const Config& config, torch::Device device,
           torch::Dtype dtype);

}  // namespace ttsft::voxtral
