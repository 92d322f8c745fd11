#include "src/text/fst.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/temporary_folder.h"
#include "tests/text/fst_support.h"
#include "ttsft/core/error.h"

namespace ttsft::test {
namespace {

using testing::HasSubstr;

class OwnFst : public testing::Test {
 protected:
  Fst load(const std::string& bytes) { return Fst::from_file(folder_.write("own.fst", bytes)); }
  std::optional<std::string> run(const std::string& input) {
    return load(file_.bytes()).transduce(input);
  }
  std::string error() {
    return message_of<DataError>([&] { load(file_.bytes()); });
  }

  TemporaryFolder folder_;
  FstFile file_;
};

TEST_F(OwnFst, WritesWhatItReads) {
  file_ = wrapping_fst("<", "ab", "!>");
  EXPECT_EQ(run("abba"), "<abba!>");
  EXPECT_EQ(run(""), "<!>");
  EXPECT_EQ(run("abc"), std::nullopt);
  EXPECT_EQ(run(std::string("a\0", 2)), std::nullopt);
  EXPECT_EQ(load(file_.bytes()).states(), 5);
}

TEST_F(OwnFst, TakesTheCheapestPath) {
  // a to x at 1, to y at 0.5 and then 1 more at the end.
  file_.states = {{{{'a', 'x', 1.0f, 1}, {'a', 'y', 0.5f, 2}}}, {{}, 0.25f}, {{}, 1.0f}};
  EXPECT_EQ(run("a"), "x");
  file_.states[2].final_weight = 0.5f;
  EXPECT_EQ(run("a"), "y");
  file_.states[2].final_weight = std::numeric_limits<float>::infinity();
  EXPECT_EQ(run("a"), "x");
}

// What OpenFst 1.7.9 and 1.8.4 print for these machines.
TEST_F(OwnFst, BreaksTiesAsOpenFst) {
  // Two ways of one weight meet in state 3: topological order visits state 2 first.
  file_.states = {{{{'a', 'x', 1.0f, 1}, {'a', 'y', 1.0f, 2}}},
                  {{{'b', 'b', 1.0f, 3}}},
                  {{{'b', 'c', 1.0f, 3}}},
                  {{}, 0}};
  EXPECT_EQ(run("ab"), "yc");
  // An arc between them orders state 1 before state 2.
  file_.states[1].arcs.insert(file_.states[1].arcs.begin(), {0, 0, 5.0f, 2});
  EXPECT_EQ(run("ab"), "xb");
  // Without weights the last state found goes first.
  file_.states = {
      {{{'a', 'x', 0, 1}, {'a', 'y', 0, 2}}}, {{{'b', 'b', 0, 3}}}, {{{'b', 'c', 0, 3}}}, {{}, 0}};
  EXPECT_EQ(run("ab"), "yc");
  file_.states[0].arcs = {{'a', 'y', 0, 2}, {'a', 'x', 0, 1}};
  EXPECT_EQ(run("ab"), "xb");
  // Of parallel arcs the first.
  file_.states = {{{{'a', 'x', 1.0f, 1}, {'a', 'y', 1.0f, 1}}}, {{}, 0}};
  EXPECT_EQ(run("a"), "x");
}

TEST_F(OwnFst, NamesWhatItDoesNotRead) {
  const FstFile good = wrapping_fst("", "a", "");
  const auto refused = [&](auto change) {
    file_ = good;
    change(file_);
    return error();
  };
  EXPECT_THAT(refused([](FstFile& f) { f.type = "const"; }), HasSubstr("const/standard"));
  EXPECT_THAT(refused([](FstFile& f) { f.arc_type = "log"; }), HasSubstr("vector/log"));
  EXPECT_THAT(refused([](FstFile& f) { f.version = 1; }), HasSubstr("version 1"));
  EXPECT_THAT(refused([](FstFile& f) { f.flags = 1; }), HasSubstr("symbol tables"));
  EXPECT_THAT(refused([](FstFile& f) { f.start = 9; }), HasSubstr("damaged header"));
  EXPECT_THAT(refused([](FstFile& f) { f.states[0].arcs[0].next = 7; }), HasSubstr("damaged arc"));
  EXPECT_THAT(refused([](FstFile& f) { f.states[0].arcs[1].output = 300; }),
              HasSubstr("not over bytes"));
  EXPECT_THAT(refused([](FstFile& f) { f.states[0].arcs[0].next = 0; }),
              HasSubstr("circle that reads nothing"));
  EXPECT_THAT(message_of<DataError>([&] { load("not a grammar"); }), HasSubstr("own.fst"));
  EXPECT_THAT(message_of<DataError>([&] { Fst::from_file(folder_ / "absent.fst"); }),
              HasSubstr("absent.fst"));
  const std::string whole = good.bytes();
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_THROW(load(whole.substr(0, size)), DataError) << size;
  }
}

}  // namespace
}  // namespace ttsft::test
