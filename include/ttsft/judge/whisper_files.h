// A folder with a Whisper, as Hugging Face keeps it (config.json,
// generation_config.json, preprocessor_config.json, tokenizer.json,
// model.safetensors or its index) or as CTranslate2 does (config.json,
// model.bin, tokenizer.json, vocabulary.txt or vocabulary.json).
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "ttsft/io/tensor_file.h"
#include "ttsft/judge/whisper_model.h"

namespace ttsft {

struct WhisperFolder {
  std::filesystem::path folder;
  WhisperOptions options;
  std::shared_ptr<const TensorFile> weights; // by Hugging Face's names
  std::vector<std::filesystem::path> weight_files;
  bool multilingual = true;
  std::vector<int64_t> suppressed;       // tokens that are never said
  std::vector<int64_t> suppressed_first; // and those that no text begins with
  int64_t latest_start =
      50; // the first timestamp of a window is no later; 20 ms each
};

// Whether there is a config.json beside a model.bin, or one that says that it
// is a Whisper's.
bool is_whisper_folder(const std::filesystem::path &folder);

// DataError: a file that is missing or damaged, a configuration that we do not
// know or that does not fit the weights.
WhisperFolder read_whisper_folder(const std::filesystem::path &folder);

Whisper load_whisper(const WhisperFolder &folder, torch::Device device,
                     torch::Dtype dtype);

} // namespace ttsft
