#include "models/fish_s2_pro/weights.h"

#include <map>
#include <string>

#include "ttsft/core/error.h"
#include "ttsft/io/atomic_file.h"
#include "ttsft/io/json_reader.h"
#include "ttsft/model/link_release.h"

namespace ttsft::fish_s2_pro {
namespace {

namespace fs = std::filesystem;

constexpr const char* kIndex = "model.safetensors.index.json";
constexpr const char* kWhole = "model.safetensors";
constexpr const char* kFlat = "model.pth";

// The shard of each tensor by its release name; empty where the index does not name them all.
std::map<std::string, std::string> shards_of(const fs::path& base, const TensorFile& weights) {
  std::map<std::string, std::string> shards;
  if (!fs::exists(base / kIndex)) return shards;
  const auto index = read_json_object(base / kIndex);
  const auto map = index.find("weight_map");
  if (map == index.end() || !map->is_object()) return shards;
  for (const TensorView& view : weights.tensors()) {
    const std::string name = release_name(view.name);
    if (!map->contains(name) || !(*map)[name].is_string()) return {};
    shards[name] = (*map)[name].get<std::string>();
  }
  return shards;
}

bool holds_weights(const fs::path& file) {
  const std::string name = file.generic_string();
  return name == kFlat || (name.starts_with("model") && name.ends_with(".safetensors"));
}

}  // namespace

void write_checkpoint(const fs::path& base, const fs::path& out, const WeightChanges& changes,
                      Rounding* rounding) {
  const auto weights = open_weights(base);
  const bool flat = fs::exists(base / kFlat);
  const auto shards = flat ? std::map<std::string, std::string>() : shards_of(base, *weights);
  std::map<std::string, std::vector<WrittenTensor>> files;
  for (WrittenTensor& tensor : as_they_are(weights->tensors())) {
    if (!flat) tensor.name = release_name(tensor.name);
    const auto shard = shards.find(tensor.name);
    files[flat ? kFlat : shard == shards.end() ? kWhole : shard->second].push_back(tensor);
  }
  fs::create_directories(out);
  link_release(base, out, [&](const fs::path& file) {
    return holds_weights(file) || file == "NOTICE" || (shards.empty() && file == kIndex);
  });
  for (const auto& [file, tensors] : files) write_weights(out / file, tensors, changes, rounding);
  write_notice(out);
}

void write_notice(const fs::path& folder) {
  write_text_atomic(
      folder / "NOTICE",
      "This model is licensed under the Fish Audio Research License, Copyright \u00A9 "
      "39 AI, INC. All Rights Reserved.\n"
      "Built with Fish Audio\n");
}

}  // namespace ttsft::fish_s2_pro
