#include "models/cosyvoice3/weights.h"

#include <cstring>

#include "models/cosyvoice3/modules.h"
#include "ttsft/core/error.h"
#include "ttsft/data/prepared_set.h"

namespace ttsft::cosyvoice3 {
namespace {

namespace fs = std::filesystem;

constexpr const char* kHead = "llm.model.lm_head.weight";
constexpr const char* kTable = "llm.model.model.embed_tokens.weight";

}  // namespace

Voices voices_of_set(const fs::path& prepared, const std::string& default_speaker) {
  if (!fs::exists(prepared / "index.json")) return {};
  std::map<std::string, std::pair<std::vector<double>, int64_t>> sums;
  for (const PreparedRow& row : PreparedSet::look(prepared, "cosyvoice3").all()) {
    const auto vector = row.row.value("utt_embedding", std::vector<double>());
    if (vector.empty()) continue;
    std::string speaker = row.row.value("speaker", default_speaker);
    if (speaker.empty()) speaker = "speaker";
    auto& [sum, count] = sums[speaker];
    sum.resize(vector.size());
    for (size_t i = 0; i < vector.size(); ++i) sum[i] += vector[i];
    ++count;
  }
  Voices voices;
  for (const auto& [name, sum] : sums) {
    std::vector<float>& mean = voices[name];
    for (const double value : sum.first)
      mean.push_back(static_cast<float>(value / static_cast<double>(sum.second)));
  }
  return voices;
}

void write_voices(const fs::path& base, const fs::path& out, const Voices& voices) {
  TorchValue::Dict entries;
  std::shared_ptr<const TorchFile> old;
  if (fs::exists(base / kVoicesFile)) {
    old = TorchFile::open(base / kVoicesFile);
    if (!old->root().dict())
      throw DataError("not a dictionary of voices", old->path().string(), "copy it again");
    for (const TorchValue::Entry& entry : *old->root().dict()) {
      if (!voices.contains(entry.first)) entries.push_back(entry);
    }
  }
  for (const auto& [name, vector] : voices) {
    TensorView view;
    view.dtype = DType::kF32;
    view.shape = {1, static_cast<int64_t>(vector.size())};
    view.bytes = std::as_bytes(std::span(vector));
    entries.push_back({name, {TorchValue::Dict{{"embedding", {view}}}}});
  }
  fs::create_directories(out);
  if (!entries.empty()) write_torch_file(out / kVoicesFile, {entries});
}

void write_stage_file(const fs::path& base, const fs::path& out, const std::string& file,
                      const WeightChanges& changes, Rounding* rounding) {
  const auto source = open_tensor_file(base / file);
  std::vector<WrittenTensor> tensors = as_they_are(source->tensors());
  for (WrittenTensor& tensor : tensors) tensor.dtype = DType::kF32;
  WeightChanges named;
  for (const auto& [name, change] : changes)
    named[file == kFlowFile ? name : llm_name(name)] = change;
  if (named.contains(kTable) && source->find(kHead)) {
    named[kHead] = named[kTable];
    for (WrittenTensor& tensor : tensors)
      if (tensor.name == kHead) tensor.tied_to = kTable;
  }
  fs::create_directories(out);
  write_weights(out / file, tensors, named, rounding);
}

}  // namespace ttsft::cosyvoice3
