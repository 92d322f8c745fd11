#include "ttsft/io/json_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "ttsft/core/error.h"

namespace ttsft {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::ThrowsMessage;

const JsonReader::Json kJson = JsonReader::Json::parse(R"({
  "n": 3, "zero": 0, "whole": 24000.0, "half": 0.5, "text": "x", "no": false, "null": null,
  "list": [1, 2], "empty": [], "bad_list": [1, 0],
  "inner": {"n": 4, "text": "y"}})");

JsonReader reader() {
  return JsonReader(kJson, "config.json");
}

template <typename Call>
void expect_refused(Call call, const std::string& key) {
  EXPECT_THAT(call, ThrowsMessage<DataError>(AllOf(HasSubstr(key), HasSubstr("config.json"))));
}

TEST(JsonReader, ReadsTypedValues) {
  EXPECT_EQ(reader().integer("n"), 3);
  EXPECT_EQ(reader().integer("zero"), 0);
  EXPECT_EQ(reader().integer("whole"), 24000);
  EXPECT_EQ(reader().number("half"), 0.5);
  EXPECT_EQ(reader().number("n"), 3.0);
  EXPECT_EQ(reader().text("text"), "x");
  EXPECT_EQ(reader().positives("list"), (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(reader().section("inner").integer("n"), 4);
}

TEST(JsonReader, ErrorsNameFileAndKey) {
  expect_refused([] { reader().integer("absent"); }, "absent");
  expect_refused([] { reader().integer("null"); }, "null");
  expect_refused([] { reader().integer("half"); }, "half");
  expect_refused([] { reader().integer("text"); }, "text");
  expect_refused([] { reader().positive("zero"); }, "zero");
  expect_refused([] { reader().number("text"); }, "text");
  expect_refused([] { reader().text("n"); }, "n");
  expect_refused([] { reader().positives("empty"); }, "empty");
  expect_refused([] { reader().positives("bad_list"); }, "bad_list");
  expect_refused([] { reader().positives("n"); }, "n");
  expect_refused([] { reader().section("n"); }, "n");
  expect_refused([] { reader().section("inner").integer("text"); }, "inner.text");
}

TEST(JsonReader, OptionalKeysKeepTheirDefault) {
  int64_t n = 7;
  double x = 1.5;
  bool flag = true;
  std::vector<int64_t> list = {9};
  reader().optional("absent", n);
  reader().optional("null", x);
  reader().optional("absent", flag);
  reader().optional("absent", list);
  EXPECT_EQ(n, 7);
  EXPECT_EQ(x, 1.5);
  EXPECT_TRUE(flag);
  EXPECT_EQ(list, (std::vector<int64_t>{9}));
  reader().optional("n", n);
  reader().optional("half", x);
  reader().optional("no", flag);
  reader().optional("list", list);
  EXPECT_EQ(n, 3);
  EXPECT_EQ(x, 0.5);
  EXPECT_FALSE(flag);
  EXPECT_EQ(list, (std::vector<int64_t>{1, 2}));
  expect_refused([&] { reader().optional("text", flag); }, "text");
}

TEST(JsonReader, RequireRefusesAnotherValue) {
  EXPECT_NO_THROW(reader().require("text", "x"));
  EXPECT_NO_THROW(reader().require("absent", "x"));
  EXPECT_NO_THROW(reader().require("null", "x"));
  expect_refused([] { reader().require("text", "z"); }, "text");
}

TEST(ReadJsonObject, RefusesWhatIsNoObject) {
  const std::filesystem::path file = testing::TempDir() + "json_reader_test.json";
  for (const char* text : {"", "{", "[1]", "3"}) {
    std::ofstream(file) << text;
    EXPECT_THROW(read_json_object(file), DataError) << text;
  }
  std::ofstream(file) << R"({"a": 1})";
  EXPECT_EQ(read_json_object(file).at("a"), 1);
  std::filesystem::remove(file);
  EXPECT_THROW(read_json_object(file), DataError);
}

}  // namespace
}  // namespace ttsft
