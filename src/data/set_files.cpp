// What index.json says of the files beside the rows, and whether it is still true.
#include <algorithm>
#include <vector>

#include "prepared_files.h"
#include "ttsft/core/error.h"
#include "ttsft/core/hash.h"
#include "ttsft/core/log.h"
#include "ttsft/core/threads.h"
#include "ttsft/data/prepared_set.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

// Hidden ones are unfinished, or a lock.
std::vector<fs::path> files_of(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.is_regular_file() && !entry.path().filename().string().starts_with("."))
      files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

// Names, sizes and times: what a look at the folder costs.
std::string stamp_of(const std::vector<fs::path>& files) {
  std::vector<std::string> lines(files.size());
  parallel_for(std::ssize(files), cpu_threads(), [&](int64_t i) {
    const fs::path& file = files[static_cast<size_t>(i)];
    const auto time = fs::last_write_time(file).time_since_epoch().count();
    lines[static_cast<size_t>(i)] = file.filename().string() + " " +
                                    std::to_string(fs::file_size(file)) + " " +
                                    std::to_string(time);
  });
  Hasher hasher;
  for (const std::string& line : lines) hasher.add(line);
  return hasher.hex();
}

std::string contents_of(const std::vector<fs::path>& files) {
  std::vector<std::string> hashes(files.size());
  parallel_for(std::ssize(files), cpu_threads(), [&](int64_t i) {
    hashes[static_cast<size_t>(i)] = hash_file(files[static_cast<size_t>(i)]);
  });
  Hasher hasher;
  for (size_t i = 0; i < files.size(); ++i) hasher.add(files[i].filename().string()).add(hashes[i]);
  return hasher.hex();
}

// A copied set has other times; then the contents decide.
bool is_same(const fs::path& path, const ordered_json& stated) {
  const std::string hash = stated.at("hash").get<std::string>();
  if (!stated.contains("stamp")) return fs::is_regular_file(path) && hash_file(path) == hash;
  if (!fs::is_directory(path)) return false;
  const std::vector<fs::path> files = files_of(path);
  if (files.size() != stated.at("files").get<size_t>()) return false;
  if (stamp_of(files) == stated.at("stamp").get<std::string>()) return true;
  log_info("the ", files.size(), " files of ", path.string(),
           " have other times than when they were prepared: their contents are compared");
  return contents_of(files) == hash;
}

}  // namespace

ordered_json describe_set_files(const fs::path& folder, const std::vector<std::string>& names) {
  ordered_json described = ordered_json::object();
  for (const std::string& name : names) {
    const fs::path path = folder / name;
    if (fs::is_directory(path)) {
      const std::vector<fs::path> files = files_of(path);
      described[name] = {
          {"files", files.size()}, {"stamp", stamp_of(files)}, {"hash", contents_of(files)}};
    } else if (fs::exists(path)) {
      described[name] = {{"hash", hash_file(path)}};
    }
  }
  return described;
}

std::string changed_set_file(const fs::path& folder, const ordered_json& index) {
  const auto described = index.find(kSetFiles);
  if (described == index.end()) return {};  // of an earlier version
  for (const auto& [name, stated] : described->items()) {
    if (!is_same(folder / name, stated)) return name;
  }
  return {};
}

}  // namespace ttsft
