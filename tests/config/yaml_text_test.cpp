#include "src/config/yaml_text.h"

#include <gtest/gtest.h>

#include <limits>

#include "src/config/tree.h"

namespace ttsft::config {
namespace {

TEST(YamlText, DoublesAreShortAndSafe) {
  EXPECT_EQ(yaml_text(2e-6), "2.0e-06");
  EXPECT_EQ(yaml_text(2.5e-6), "2.5e-06");
  EXPECT_EQ(yaml_text(1.0), "1.0");
  EXPECT_EQ(yaml_text(0.0), "0.0");
  EXPECT_EQ(yaml_text(-0.999), "-0.999");
  EXPECT_EQ(yaml_text(1e20), "1.0e+20");
}

TEST(YamlText, DoublesRoundTrip) {
  for (const double value : {0.1, 1.0 / 3, 1e-8, 5e-324, std::numeric_limits<double>::max(),
                             -123456789.125, 0.30000000000000004}) {
    EXPECT_EQ(parse_double(yaml_text(value)), value);
  }
}

TEST(YamlText, ParsesNumbers) {
  EXPECT_EQ(parse_int("8"), 8);
  EXPECT_EQ(parse_int("+8"), 8);
  EXPECT_EQ(parse_int("-8"), -8);
  for (const char* text : {"", "8.0", "8 ", "1e3", "x", "+-8", "99999999999999999999"}) {
    EXPECT_FALSE(parse_int(text)) << text;
  }
  EXPECT_EQ(parse_double("1e-8"), 1e-8);
  EXPECT_EQ(parse_double("1.0e-08"), 1e-8);
  EXPECT_EQ(parse_double("8"), 8.0);
  EXPECT_EQ(parse_double(".5"), 0.5);
  for (const char* text : {"", "inf", "nan", ".inf", "1e999", "0x10", "1,5"}) {
    EXPECT_FALSE(parse_double(text)) << text;
  }
}

TEST(YamlText, ParsesBools) {
  EXPECT_EQ(parse_bool("True"), true);
  EXPECT_EQ(parse_bool("off"), false);
  EXPECT_FALSE(parse_bool("1"));
  EXPECT_FALSE(parse_bool("y"));
}

TEST(YamlText, QuotesWhatAnotherReaderWouldTakeForSomethingElse) {
  EXPECT_EQ(yaml_text(std::string("q_proj")), "q_proj");
  for (const char* text : {"", "8", "1e3", "12:30", "null", "Off", "y", "-", "~", "a: b", "a #b",
                           "*x", "[a]", "two words", "2001-01-01", ".5"}) {
    EXPECT_EQ(yaml_text(std::string(text)).front(), '"') << text;
  }
}

TEST(YamlText, TextsRoundTrip) {
  for (const std::string text :
       {"", "plain", "tab\there", "line\nbreak\r\n", "\"quoted\" \\ back", "#x: {y}", "naïve 你好",
        "'", "\x01\x7f", R"(.*layers\.\d+\.(q|k)_proj)"}) {
    EXPECT_EQ(parse_yaml("k: " + yaml_text(text), "f").find("k")->value.text, text);
  }
}

TEST(YamlText, Lists) {
  EXPECT_EQ(yaml_text(std::vector<double>{0.9, 1}), "[0.9, 1.0]");
  EXPECT_EQ(yaml_text(std::vector<std::string>{}), "[]");
  EXPECT_EQ(yaml_text(std::map<std::string, std::string>{{"a", "off"}, {"b", "x"}}),
            "{a: \"off\", b: x}");
  EXPECT_EQ(yaml_text(std::optional<int64_t>()), "null");
  EXPECT_EQ(yaml_text(std::filesystem::path()), "null");
}

}  // namespace
}  // namespace ttsft::config
