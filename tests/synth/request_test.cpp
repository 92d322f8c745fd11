#include "src/synth/request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "support/temporary_folder.h"
#include "ttsft/core/error.h"

namespace ttsft {
namespace {

using ::testing::HasSubstr;

struct Flags : ::testing::Test {
  Flags() {
    options.text = "hello";
    options.out = folder / "a.wav";
  }
  std::string error() {
    return message_of<UsageError>([&] { check_flags(options); });
  }
  void only(const std::filesystem::path& texts, const std::filesystem::path& codes_in) {
    options.text.reset();
    options.texts = texts;
    options.codes_in = codes_in;
  }

  TemporaryFolder folder;
  SynthOptions options;
};

TEST_F(Flags, OneTextIsFine) {
  EXPECT_NO_THROW(check_flags(options));
  const auto jobs = make_jobs(options);
  ASSERT_EQ(jobs.size(), 1U);
  EXPECT_EQ(jobs[0].text, "hello");
  EXPECT_EQ(jobs[0].out, folder / "a.wav");
  EXPECT_TRUE(jobs[0].codes_out.empty());
}

TEST_F(Flags, OneSourceIsNeeded) {
  options.text.reset();
  EXPECT_THAT(error(), HasSubstr("nothing to say"));
  options.text = "a";
  options.codes_in = folder.write("c.safetensors", "x");
  EXPECT_THAT(error(), HasSubstr("--text and --codes-in cannot be given together"));
}

TEST_F(Flags, TextMustSaySomething) {
  options.text = " \n";
  EXPECT_THAT(error(), HasSubstr("the text is empty: --text"));
  options.text = "a\xff";
  EXPECT_THAT(error(), HasSubstr("not UTF-8"));
}

TEST_F(Flags, Values) {
  options.max_frames = 0;
  EXPECT_THAT(error(), HasSubstr("must be 1 or more, is 0: --max-frames"));
  options.max_frames = 1;
  options.lora_scale = std::numeric_limits<double>::infinity();
  EXPECT_THAT(error(), HasSubstr("--lora-scale"));
}

TEST_F(Flags, PlacesOfAFile) {
  options.out.clear();
  EXPECT_THAT(error(), HasSubstr("give --out"));
  options.out = folder.path();
  EXPECT_THAT(error(), HasSubstr("a folder, where a file"));
  options.out = folder / "nowhere/a.wav";
  EXPECT_THAT(error(), HasSubstr("no such folder"));
  options.out = folder / "a.wav";
  options.codes_out = folder / "nowhere/a.safetensors";
  EXPECT_THAT(error(), HasSubstr("--codes-out"));
  options.codes_out = folder / "./a.wav";
  options.out = folder.path() / "." / "a.wav";
  EXPECT_THAT(error(), HasSubstr("the same file"));
}

TEST_F(Flags, FolderThatCannotBeWritten) {
  if (::geteuid() == 0) GTEST_SKIP() << "root writes everywhere";
  std::filesystem::permissions(
      folder.path(), std::filesystem::perms::owner_read | std::filesystem::perms::owner_exec);
  EXPECT_THAT(error(), HasSubstr("cannot be written"));
  std::filesystem::permissions(folder.path(), std::filesystem::perms::owner_all);
}

TEST_F(Flags, PlacesOfAFolder) {
  only(folder.write("t.txt", "a\n"), {});
  options.out = folder / "new";
  EXPECT_NO_THROW(check_flags(options));
  options.out = folder.write("file.wav", "");
  EXPECT_THAT(error(), HasSubstr("with --texts it is a folder"));
  options.out = folder / "nowhere/new";
  EXPECT_THAT(error(), HasSubstr("no such folder"));
}

TEST_F(Flags, InputsMustExist) {
  only(folder / "t.txt", {});
  EXPECT_THAT(error(), HasSubstr("no such file: --texts"));
  only({}, folder.path());
  EXPECT_THAT(error(), HasSubstr("not a file: --codes-in"));
  options = {};
  options.text = "a";
  options.out = folder / "a.wav";
  options.noise = folder / "n.safetensors";
  EXPECT_THAT(error(), HasSubstr("no such file: --noise"));
}

TEST_F(Flags, Combinations) {
  only({}, folder.write("c.safetensors", "x"));
  options.codes_out = folder / "d.safetensors";
  EXPECT_THAT(error(), HasSubstr("--codes-in generates none"));
  options.codes_out.clear();
  only(folder.write("t.txt", "a\n"), {});
  options.out = folder / "new";
  options.noise = folder / "c.safetensors";
  EXPECT_THAT(error(), HasSubstr("recorded for one text"));
}

TEST_F(Flags, AJobPerLine) {
  only(folder.write("t.txt", "\xEF\xBB\xBFhello\r\n\n b | well | yes \nno id | here\n"), {});
  options.out = folder / "new";
  options.codes_out = folder / "codes";
  const auto jobs = make_jobs(options);
  ASSERT_EQ(jobs.size(), 3U);
  EXPECT_EQ(jobs[0].id, "0001");
  EXPECT_EQ(jobs[0].text, "hello");
  EXPECT_EQ(jobs[0].out, folder / "new/0001.wav");
  EXPECT_EQ(jobs[0].codes_out, folder / "codes/0001.safetensors");
  EXPECT_EQ(jobs[1].id, "b");
  EXPECT_EQ(jobs[1].text, "well | yes");
  EXPECT_EQ(jobs[2].id, "0004");
  EXPECT_EQ(jobs[2].text, "no id | here");
}

TEST_F(Flags, FilesOfTextsThatCannotBeUsed) {
  const auto error_in = [&](const std::string& content) {
    const auto file = folder.write("t.txt", content);
    return message_of<DataError>([&] { read_texts(file); });
  };
  EXPECT_THAT(error_in("\n \n"), HasSubstr("no text in the file"));
  EXPECT_THAT(error_in("a|one\n\na|two\n"), HasSubstr("the id a stands in line 1 already"));
  EXPECT_THAT(error_in("a|one\n\na|two\n"), HasSubstr("t.txt line 3"));
  EXPECT_THAT(error_in("a|\n"), HasSubstr("no text behind the id"));
  EXPECT_THAT(error_in("good\nb\xff\n"), HasSubstr("not UTF-8"));
  // No way out of the folder.
  EXPECT_EQ(read_texts(folder.write("t.txt", "../x|one\n"))[0].id, "0001");
  EXPECT_EQ(read_texts(folder.write("t.txt", "..|one\n"))[0].id, "0001");
}

}  // namespace
}  // namespace ttsft
