// Adapters in loralib's form, as Lightning stores them: one torch.save file whose `state_dict` maps
// `model.<path>.lora_A` and `.lora_B` to tensors, of embeddings too. It says its rank by its shapes
// and its alpha not at all. Upstream: fish_speech/utils (LoRA checkpoints), tools/llama/
// merge_lora.py.
#pragma once

#include <filesystem>
#include <memory>

#include "ttsft/io/durability.h"
#include "ttsft/io/peft.h"
#include "ttsft/io/tensor_file.h"

namespace ttsft {

// An adapter on disk, whatever its form.
struct AdapterFiles {
  PeftConfig config;
  std::shared_ptr<const TensorFile> tensors;  // under PEFT's names
  bool says_embeddings = true;  // whether a name tells an embedding's adapter from a linear's
};

// A PEFT folder; or a file of loralib's form, whose alpha must be given (0: none was). DataError:
// neither, or a file without tensors of that form.
AdapterFiles open_adapter(const std::filesystem::path& path, double alpha = 0);

// What open_adapter() says of it; of a folder its adapter_config.json alone is read.
PeftConfig read_adapter_config(const std::filesystem::path& path, double alpha = 0);

// A file that open_adapter() takes, by its tensors' names.
bool is_loralib_file(const std::filesystem::path& path);

// PEFT's weights in loralib's form.
void write_loralib(const std::filesystem::path& file, const TensorFile& peft,
                   Durability durability = Durability::kDisk);

}  // namespace ttsft
