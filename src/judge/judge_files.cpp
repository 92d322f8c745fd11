#include "ttsft/judge/judge_files.h"

#include <cstdlib>
#include <system_error>

#include "ttsft/core/error.h"

namespace ttsft {

namespace fs = std::filesystem;

std::optional<fs::path> find_judge(const std::string& name) {
  std::error_code ignored;
  const fs::path program = fs::read_symlink("/proc/self/exe", ignored);
  const char* named = std::getenv("TTSFT_JUDGES");
  for (const fs::path& folder :
       {fs::path(named ? named : ""), program.parent_path() / "../share/ttsft/judges",
        fs::path(TTSFT_JUDGES_FOLDER)}) {
    if (!folder.empty() && fs::exists(folder / name, ignored)) {
      return (folder / name).lexically_normal();
    }
  }
  return std::nullopt;
}

fs::path need_judge(const std::string& name, const std::string& what) {
  if (const auto found = find_judge(name)) return *found;
  throw UsageError("the weights of " + what + " are not here", name,
                   "run tools/setup, or set TTSFT_JUDGES to the folder that holds them");
}

}  // namespace ttsft
