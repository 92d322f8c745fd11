#include "ttsft/model/link_release.h"

#include "ttsft/io/atomic_file.h"

namespace ttsft {
namespace {

bool is_train_file(const std::filesystem::path& relative) {
  return *relative.begin() == "trainer_state" || relative == "config.resolved.yaml";
}

}  // namespace

void link_release(const std::filesystem::path& base, const std::filesystem::path& out,
                  const std::function<bool(const std::filesystem::path&)>& written_anew) {
  namespace fs = std::filesystem;
  const auto follow = fs::directory_options::follow_directory_symlink;
  for (const auto& entry : fs::recursive_directory_iterator(base, follow)) {
    const fs::path relative = entry.path().lexically_relative(base);
    if (!entry.is_regular_file() || is_train_file(relative) || written_anew(relative)) continue;
    fs::create_directories((out / relative).parent_path());
    // Snapshots of a hub are links: the file behind one is what counts.
    link_or_copy(fs::canonical(entry.path()), out / relative);
  }
}

void link_rest(const std::filesystem::path& base, const std::filesystem::path& out) {
  std::filesystem::create_directories(out);
  link_release(base, out, [&](const std::filesystem::path& file) {
    return std::filesystem::exists(out / file);
  });
}

}  // namespace ttsft
