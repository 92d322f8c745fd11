#include "src/text/tagged_tokens.h"

#include <gtest/gtest.h>

namespace ttsft {
namespace {

TEST(ReorderTokens, PutsMembersInTheVerbalizersOrder) {
  EXPECT_EQ(
      reorder_tokens(R"(w { v: "It" } money { currency_maj: "dollars" integer_part: "two" } )",
                     kEnglishMemberOrders),
      R"(w { v: "It" } money { integer_part: "two" currency_maj: "dollars" })");
  EXPECT_EQ(reorder_tokens(R"(date { day: "五" year: "二零" month: "三" })", kChineseMemberOrders),
            R"(date { year: "二零" month: "三" day: "五" })");
}

TEST(ReorderTokens, KeepsAnOrderThatIsToBePreserved) {
  const std::string date = R"(date { month: "may" day: "first" preserve_order: "true" })";
  EXPECT_EQ(reorder_tokens(date, kEnglishMemberOrders), date);
}

TEST(ReorderTokens, DropsMembersWithoutAPlaceAndTakesTheLastOfTwo) {
  EXPECT_EQ(reorder_tokens(R"(money { value: "一" unit: "x" value: "二" })", kChineseMemberOrders),
            R"(money { value: "二" })");
}

TEST(ReorderTokens, ValuesStayAsTheyAreEscaped) {
  const std::string token = R"(char { value: "\"" } char { value: "\\" } char { value: "}" })";
  EXPECT_EQ(reorder_tokens(token, kChineseMemberOrders), token);
}

TEST(ReorderTokens, NothingForWhatIsNoToken) {
  EXPECT_EQ(reorder_tokens("", kEnglishMemberOrders), "");
  EXPECT_EQ(reorder_tokens("  ", kEnglishMemberOrders), "");
  for (const char* broken : {"w", "w {", "w { v", R"(w { v: "x)", R"(w { v: "x" )", "{ }",
                             "w { v: x }", R"(w { v: "x\)", "w } "}) {
    EXPECT_EQ(reorder_tokens(broken, kEnglishMemberOrders), std::nullopt) << broken;
  }
}

}  // namespace
}  // namespace ttsft
