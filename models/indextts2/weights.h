// gpt.pth: the language model and the encoders that condition it.
#pragma once

#include <torch/torch.h>

#include <filesystem>
#include <memory>

#include "models/indextts2/conditioner.h"
#include "models/indextts2/modules.h"
#include "ttsft/io/tensor_file.h"

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

}  // namespace ttsft::indextts2
