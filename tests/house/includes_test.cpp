// The tiers of docs/architecture.md, checked on every #include line of the sources: a folder may
// include only what stands below it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "support/temporary_folder.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Areas = std::set<std::string>;

// What each area may include besides itself. "torch" stands for LibTorch's own headers.
const std::map<std::string, Areas>& allowed() {
  static const std::map<std::string, Areas> table = [] {
    std::map<std::string, Areas> may;
    may["core"] = {};
    for (const char* area : {"config", "io", "audio", "text"}) may[area] = {"core"};
    may["data"] = {"core", "config", "io", "audio", "text"};
    may["nn"] = {"core", "io", "torch"};
    may["cuda"] = {"nn", "torch"};
    may["parquet"] = {"io", "core"};
    may["features"] = {"core", "io", "nn", "torch"};
    may["codec"] = {"core", "io", "nn", "features", "torch"};
    may["judge"] = {"core", "io", "audio", "text", "nn", "features", "codec", "torch"};
    may["sherpa"] = {"core", "judge", "audio"};
    may["model"] = {"core", "config",   "io",    "audio", "text", "data",
                    "nn",   "features", "codec", "judge", "torch"};
    may["curate"] = {"core", "config",   "io",    "audio", "text", "data",
                     "nn",   "features", "codec", "judge", "torch"};
    Areas below_engines = may["model"];
    below_engines.insert("model");
    const std::vector<std::string> engines = {"prep", "train", "eval", "synth", "export"};
    for (const std::string& engine : engines) may[engine] = below_engines;
    may["models"] = below_engines;
    may["cli"] = below_engines;
    may["cli"].insert(engines.begin(), engines.end());
    may["cli"].insert("curate");
    return may;
  }();
  return table;
}

// The area that a path of the repository, or the text of an #include, belongs to; nullopt for
// system headers. The model's own folder comes back as "models/<name>".
std::optional<std::string> area_of(const std::string& path) {
  static const std::regex ours(R"(^(?:include/ttsft|ttsft|src)/(\w+)/.*)");
  static const std::regex model(R"(^models/(\w+)/.*)");
  static const std::regex torch(R"(^(torch|ATen|c10|caffe2)/.*)");
  std::smatch found;
  if (std::regex_match(path, found, ours)) return found[1].str();
  if (std::regex_match(path, found, model)) return "models/" + found[1].str();
  if (std::regex_match(path, torch)) return "torch";
  return std::nullopt;
}

std::string tier_of(const std::string& area) {
  return area.starts_with("models/") ? "models" : area;
}

bool may_include(const std::string& from, const std::string& to) {
  if (from == to) return true;
  if (tier_of(to) == "models")
    return false;  // not even another model: only the registry knows them
  const auto entry = allowed().find(tier_of(from));
  return entry != allowed().end() && entry->second.count(to) > 0;
}

std::vector<std::string> violations_of(const fs::path& root) {
  static const std::regex include_line(R"re(^\s*#\s*include\s*[<"]([^>"]+)[>"].*)re");
  std::vector<std::string> found;
  for (const char* top : {"include/ttsft", "src", "models"}) {
    if (!fs::exists(root / top)) continue;
    for (const auto& entry : fs::recursive_directory_iterator(root / top)) {
      const std::string extension = entry.path().extension().string();
      if (extension != ".h" && extension != ".cpp") continue;
      const std::string path = fs::relative(entry.path(), root).string();
      const auto from = area_of(path);
      if (!from) continue;  // models/registry.cpp
      std::ifstream stream(entry.path());
      std::string line;
      for (int number = 1; std::getline(stream, line); ++number) {
        std::smatch match;
        if (!std::regex_match(line, match, include_line)) continue;
        const auto to = area_of(match[1].str());
        if (to && !may_include(*from, *to)) {
          found.push_back(path + ":" + std::to_string(number) + ": " + *from + " may not include " +
                          match[1].str());
        }
      }
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

TEST(Includes, EveryAreaHasItsPlace) {
  const fs::path root = TTSFT_SOURCE_DIR;
  for (const char* top : {"include/ttsft", "src"}) {
    for (const auto& entry : fs::directory_iterator(root / top)) {
      if (!entry.is_directory()) continue;
      EXPECT_EQ(allowed().count(entry.path().filename().string()), 1u)
          << entry.path() << " has no tier in this test";
    }
  }
}

TEST(Includes, PointDownward) {
  EXPECT_THAT(violations_of(TTSFT_SOURCE_DIR), IsEmpty());
}

TEST(Includes, AViolationIsNamedByFileAndLine) {
  const TemporaryFolder root;
  root.write("src/io/a.cpp",
             "// text\n#include <torch/torch.h>\n#include \"ttsft/core/error.h\"\n");
  root.write("include/ttsft/core/b.h", "#include \"ttsft/io/safetensors.h\"\n");
  root.write("src/train/c.cpp", "#include \"models/one/config.h\"\n");
  root.write("models/one/d.cpp",
             "#include \"models/one/config.h\"\n#include \"models/two/config.h\"\n"
             "#include \"ttsft/train/train.h\"\n#include <vector>\n");
  EXPECT_THAT(violations_of(root.path()),
              ElementsAre(HasSubstr("include/ttsft/core/b.h:1: core may not include"),
                          HasSubstr("models/one/d.cpp:2: models/one may not include models/two"),
                          HasSubstr("models/one/d.cpp:3: models/one may not include ttsft/train"),
                          HasSubstr("src/io/a.cpp:2: io may not include torch/torch.h"),
                          HasSubstr("src/train/c.cpp:1: train may not include models/one")));
}

}  // namespace
}  // namespace ttsft
