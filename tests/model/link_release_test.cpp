#include "ttsft/model/link_release.h"

#include <gtest/gtest.h>

#include "tests/support/temporary_folder.h"
#include "ttsft/io/atomic_file.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;

TEST(LinkRelease, LinksAllButWhatIsNew) {
  const TemporaryFolder folder;
  folder.write("base/config.yaml", "c");
  folder.write("base/gpt.pth", "old");
  folder.write("base/hf_cache/a/model.bin", "m");
  folder.write("base/trainer_state/optimizer", "o");
  folder.write("base/config.resolved.yaml", "r");
  folder.write("blobs/0f", "vocoder");
  fs::create_symlink(folder / "blobs/0f", folder / "base/hf_cache/a/linked.bin");
  link_release(folder / "base", folder / "out",
               [](const fs::path& file) { return file == "gpt.pth"; });
  EXPECT_EQ(read_text(folder / "out/config.yaml"), "c");
  EXPECT_EQ(read_text(folder / "out/hf_cache/a/model.bin"), "m");
  EXPECT_EQ(read_text(folder / "out/hf_cache/a/linked.bin"), "vocoder");
  EXPECT_FALSE(fs::is_symlink(folder / "out/hf_cache/a/linked.bin"));
  for (const char* name : {"gpt.pth", "trainer_state", "config.resolved.yaml"})
    EXPECT_FALSE(fs::exists(fs::path(folder / "out") / name)) << name;
}

}  // namespace
}  // namespace ttsft
