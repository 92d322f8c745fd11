// gpt.pth: the language model and the encoders that condition it.
#pragma once

#include <torch/torch.h>

#include <filesystem>
#include <memory>
#include <string>

#include "models/indextts2/conditioner.h"
#include "models/indextts2/modules.h"
#include "ttsft/io/tensor_file.h"
#include "ttsft/model/write_weights.h"

namespace ttsft::indextts2 {

// The tensors under their upstream names, whichever of the known ways the file was saved: as the
// state dict itself or under "model" (with optimizer and more beside it); after PEFT
// (".base_layer." in the names, adapters left out) or after inference had been set up (copies under
// "inference_model.", a token table of GPT-2 that nothing uses). DataError: none of these.
std::shared_ptr<const TensorFile> open_gpt(const std::filesystem::path& file);

// The language model alone; the encoders stay in the file.
UnifiedVoice load_gpt(const std::shared_ptr<const TensorFile>& file, const GptConfig& config,
                      double dropout, torch::Device device, torch::Dtype dtype);
// The encoders alone, in float32.
Conditioner load_conditioner(const std::shared_ptr<const TensorFile>& file, const GptConfig& config,
                             torch::Device device);

// Of the encoders: what prep's results depend on, and training leaves alone.
bool is_encoder_tensor(const std::string& name);

enum class GptPrecision { kKeep, kFloat32, kFloat16 };

// A complete checkpoint in the released layout: gpt.pth as a plain state dict that upstream loads,
// every tensor of the base in its order, those in `changes` replaced and of the base's type or the
// one asked for; all other files linked. With `vocabulary`, a SentencePiece model that the changed
// text tables fit, it takes the place of bpe.model, and config.yaml counts its pieces.
void write_release(const Config& base, const std::filesystem::path& out,
                   const WeightChanges& changes, GptPrecision precision,
                   const std::filesystem::path& vocabulary = {}, Rounding* rounding = nullptr);

}  // namespace ttsft::indextts2
