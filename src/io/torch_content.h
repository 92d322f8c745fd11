// What the two forms of torch.save's files have in common: the objects of a pickle, and the bytes
// of the storages that they name.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <span>
#include <string>

#include "pickle.h"

namespace ttsft {

using TorchStorages = std::map<std::string, std::span<const std::byte>>;

struct TorchContent {
  std::unique_ptr<PickleMachine> machine;  // owns the objects
  const PickleObject* root = nullptr;
  TorchStorages storages;  // by key, into the file
};

// torch_zip.cpp: the form since PyTorch 1.6. Call it when is_zip(file).
TorchContent read_torch_zip(std::span<const std::byte> file, const std::string& where);

// torch_stream.cpp: the form before, pickles one behind the other and then the storages.
bool is_torch_stream(std::span<const std::byte> file);
TorchContent read_torch_stream(std::span<const std::byte> file, const std::string& where);

}  // namespace ttsft
