#include "src/config/tree.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ttsft/core/error.h"

namespace ttsft::config {
namespace {

using ::testing::StartsWith;

std::string error_of(const std::string& text) {
  try {
    parse_yaml(text, "f.yaml");
  } catch (const UsageError& e) {
    return e.what();
  }
  return "no error";
}

TEST(Tree, KnowsLinesAndKinds) {
  const Node tree = parse_yaml("a: 1\nb:\n  c: '2'\n  d: [x, y]\ne:\n", "f.yaml");
  EXPECT_EQ(tree.find("a")->where, "f.yaml:1");
  EXPECT_FALSE(tree.find("a")->value.quoted);
  const Entry* c = tree.find_path("b.c");
  ASSERT_NE(c, nullptr);
  EXPECT_EQ(c->where, "f.yaml:3");
  EXPECT_TRUE(c->value.quoted);
  EXPECT_EQ(c->value.text, "2");
  EXPECT_EQ(tree.find_path("b.d")->value.items[1].text, "y");
  EXPECT_EQ(tree.find("e")->value.kind, Node::Kind::kNull);
  EXPECT_EQ(tree.find_path("b.c.d"), nullptr);
  EXPECT_EQ(tree.find_path("z"), nullptr);
}

TEST(Tree, RefusesRepeatedKeys) {
  EXPECT_EQ(error_of("a:\n  b: 1\n  c: 2\n  b: 3\n"),
            "f.yaml:4: a.b: key given twice; it stands at f.yaml:2 already; keep one");
}

TEST(Tree, SyntaxErrorsNameTheLine) {
  EXPECT_THAT(error_of("a: 1\nb: [1, 2\nc: 3\n"), StartsWith("f.yaml:3: not valid YAML: "));
  EXPECT_THAT(error_of("a: 1\n\tb: 2\n"), StartsWith("f.yaml:2: not valid YAML: "));
}

TEST(Tree, RefusesWhatARunFileCannotBe) {
  EXPECT_EQ(error_of("a: 1\n---\nb: 2\n"),
            "f.yaml: holds several YAML documents; keep one (remove ---)");
  EXPECT_EQ(error_of("? [a, b]\n: 1\n"), "f.yaml:1: a key must be a word");
}

TEST(Tree, RefusesAliasesWithoutEnd) {
  EXPECT_THAT(error_of("a: &x\n  b: *x\n"), ::testing::HasSubstr("nested or repeated without end"));
  std::string bomb = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n";
  for (int i = 1; i < 8; ++i) {
    const std::string before = "*a" + std::to_string(i - 1);
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + before;
    for (int j = 0; j < 9; ++j) bomb += ", " + before;
    bomb += "]\n";
  }
  EXPECT_THAT(error_of(bomb), ::testing::HasSubstr("nested or repeated without end"));
}

TEST(Override, IsATreeOfItsKey) {
  const Node tree = parse_override("train.betas=[0.9, 0.99]");
  const Entry* betas = tree.find_path("train.betas");
  ASSERT_NE(betas, nullptr);
  EXPECT_EQ(betas->where, "--set train.betas=[0.9, 0.99]");
  EXPECT_EQ(betas->value.items.size(), 2u);
  EXPECT_TRUE(tree.find("train")->value.partial);
  EXPECT_FALSE(betas->value.partial);
  EXPECT_EQ(parse_override("a.b=x=y").find_path("a.b")->value.text, "x=y");
  EXPECT_EQ(parse_override("a.b=").find_path("a.b")->value.kind, Node::Kind::kNull);
}

TEST(Override, RefusesHalfOfOne) {
  for (const char* text : {"train.steps", "=3", "train..steps=3", "train.=3"}) {
    EXPECT_THROW(parse_override(text), UsageError) << text;
  }
  try {
    parse_override("a=[1");
    FAIL();
  } catch (const UsageError& e) {
    EXPECT_THAT(e.what(), StartsWith("--set a=[1: not valid YAML: "));
  }
}

}  // namespace
}  // namespace ttsft::config
