// Where the models of other projects lie. Source: index-tts v2.0.0, indextts/infer_v2.py (hub
// cache), and its later versions (plain files under hf_cache/).
#include <algorithm>
#include <vector>

#include "models/indextts2/config.h"
#include "ttsft/core/error.h"
#include "ttsft/core/strings.h"
#include "ttsft/io/atomic_file.h"

namespace ttsft::indextts2 {
namespace {

namespace fs = std::filesystem;

struct Place {
  std::string title;
  std::string repository;          // of the hub
  std::string plain;               // below hf_cache/
  std::string snapshot;            // below snapshots/<hash>/
  std::vector<std::string> files;  // that must be there: of the folder, or "" for the file itself
};

Place place_of(const Config& config, Auxiliary auxiliary) {
  switch (auxiliary) {
    case Auxiliary::kW2vBert:
      return {"w2v-BERT 2.0",
              "facebook/w2v-bert-2.0",
              "w2v-bert-2.0",
              "",
              {"config.json", "model.safetensors"}};
    case Auxiliary::kSemanticCodec:
      return {"MaskGCT's semantic codec",
              "amphion/MaskGCT",
              "semantic_codec_model.safetensors",
              "semantic_codec/model.safetensors",
              {}};
    case Auxiliary::kCampplus:
      return {
          "CAMPPlus", "funasr/campplus", "campplus_cn_common.bin", "campplus_cn_common.bin", {}};
    case Auxiliary::kBigVgan:
      return {"BigVGAN", config.vocoder, "bigvgan", "", {"config.json", "bigvgan_generator.pt"}};
  }
  throw std::logic_error("place_of: unlisted auxiliary model");
}

bool complete(const fs::path& path, const Place& place) {
  if (place.files.empty()) return fs::is_regular_file(path);
  return std::all_of(place.files.begin(), place.files.end(),
                     [&](const std::string& file) { return fs::is_regular_file(path / file); });
}

// The snapshot that refs/main names first, then the others by name.
std::vector<fs::path> snapshots(const fs::path& repository) {
  std::vector<fs::path> found;
  if (!fs::is_directory(repository / "snapshots")) return found;
  for (const auto& entry : fs::directory_iterator(repository / "snapshots"))
    found.push_back(entry.path());
  std::sort(found.begin(), found.end());
  const fs::path reference = repository / "refs" / "main";
  if (fs::is_regular_file(reference)) {
    const std::string main = trim(read_text(reference));
    std::stable_partition(found.begin(), found.end(),
                          [&](const fs::path& path) { return path.filename() == main; });
  }
  return found;
}

}  // namespace

std::filesystem::path locate(const Config& config, Auxiliary auxiliary) {
  const Place place = place_of(config, auxiliary);
  std::string tree = "models--" + place.repository;
  for (size_t slash; (slash = tree.find('/')) != std::string::npos;) tree.replace(slash, 1, "--");
  const fs::path cache = config.folder / "hf_cache";
  for (const fs::path& root : {cache, cache / "hub", config.folder}) {
    if (complete(root / place.plain, place)) return root / place.plain;
    for (const fs::path& snapshot : snapshots(root / tree)) {
      const fs::path path = place.snapshot.empty() ? snapshot : snapshot / place.snapshot;
      if (complete(path, place)) return path;
    }
  }
  const std::string files = place.files.empty() ? place.snapshot : join(place.files, " and ");
  throw DataError("the checkpoint lacks " + place.title, (cache / place.plain).string(),
                  "put " + files + " of huggingface.co/" + place.repository + " there");
}

}  // namespace ttsft::indextts2
