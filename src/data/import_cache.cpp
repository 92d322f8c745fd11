// A folder of .pt files, one per clip, as upstream's trainers cache what they encoded. What is in
// them is the model's affair.
#include <algorithm>

#include "import.h"
#include "ttsft/core/error.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;

constexpr const char* kKey = "cache";

std::vector<fs::path> cache_files(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".pt" && entry.is_regular_file()) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

bool holds_cache(const fs::path& folder) {
  return !cache_files(folder).empty();
}

ImportedSet import_cache(const fs::path& source, const ImportDefaults& defaults) {
  const auto& known = defaults.encoded_keys;
  if (std::find(known.begin(), known.end(), kKey) == known.end()) {
    throw DataError("a folder of .pt files, which this model does not read", source.string(),
                    "give the recordings");
  }
  const fs::path folder = fs::canonical(source);
  ImportCollector rows("torch cache", folder, defaults);
  for (const fs::path& file : cache_files(folder)) {
    Utterance row;
    row.id = file.stem().string();
    row.where = file.filename().string();
    row.row[kKey] = file.string();
    rows.add(std::move(row));
  }
  return rows.finish(source);
}

}  // namespace ttsft
