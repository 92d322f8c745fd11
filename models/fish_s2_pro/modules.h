// The two decoders of Fish S2 Pro: a slow one over text and frames that predicts the first code of
// each, and a fast one over the ten codes of a frame. Module names are upstream's short ones, in
// which PEFT writes adapters; the release's are longer (release_name). Upstream:
// fish_speech/models/text2semantic/llama.py (DualARTransformer).
#pragma once

#include <torch/torch.h>

#include <filesystem>
#include <memory>
#include <string>

#include "models/fish_s2_pro/config.h"
#include "ttsft/io/tensor_file.h"
#include "ttsft/nn/checkpointing.h"
#include "ttsft/nn/decoder_block.h"
#include "ttsft/nn/layers.h"
#include "ttsft/nn/linear.h"

namespace ttsft::fish_s2_pro {

// Child names: embeddings, codebook_embeddings, layers.N, norm, fast_embeddings, fast_layers.N,
// fast_norm, fast_output, and fast_project_in where the two differ in width.
class DualArImpl : public torch::nn::Module, public Recomputing {
 public:
  explicit DualArImpl(const Config& config);
  void set_activation_checkpointing(bool on) override;

  // Vectors of frames [.., D]: of the first code's token and the ten codes, over sqrt(11) if
  // scaled. tokens [..], codes [.., 10].
  torch::Tensor frames(const torch::Tensor& tokens, const torch::Tensor& codes, bool scaled);

  // Outputs of the fast decoder for whole frames, behind its norm: state [N, D] that predicts the
  // frame, codes [N, 10] -> [N, 10, D'], of which the k-th predicts code k.
  torch::Tensor depth(const torch::Tensor& state, const torch::Tensor& codes);
  torch::Tensor project(const torch::Tensor& state) {
    return fast_project_in ? fast_project_in(state) : state;
  }

  DecoderStack& slow() { return slow_; }
  DecoderStack& fast() { return fast_; }
  const DecoderStack& slow() const { return slow_; }
  const DecoderStack& fast() const { return fast_; }
  const Config& config() const { return config_; }

  Table embeddings{nullptr}, codebook_embeddings{nullptr}, fast_embeddings{nullptr};
  RmsNorm norm{nullptr}, fast_norm{nullptr};
  Linear fast_output{nullptr}, fast_project_in{nullptr};

 private:
  Config config_;
  // Their blocks are children of this module, by upstream's names; the stacks themselves are none.
  DecoderStack slow_{nullptr}, fast_{nullptr};
};
TORCH_MODULE(DualAr);

// "layers.0.attention.wo.weight" -> "text_model.model.layers.0.attention.wo.weight"
std::string release_name(const std::string& parameter);

// The weights of a checkpoint under their short names: the release's shards, or model.pth.
std::shared_ptr<const TensorFile> open_weights(const std::filesystem::path& checkpoint);

DualAr load_dual_ar(const std::filesystem::path& checkpoint, const Config& config,
                    torch::Device device, torch::Dtype dtype);

}  // namespace ttsft::fish_s2_pro
