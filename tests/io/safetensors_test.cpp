#include "ttsft/io/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "support/temporary_folder.h"
#include "ttsft/core/error.h"
#include "ttsft/io/atomic_file.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

std::string with_length(uint64_t length, const std::string& rest) {
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  return bytes + rest;
}

std::string file_text(const std::string& header, size_t data_bytes) {
  return with_length(header.size(), header + std::string(data_bytes, 'x'));
}

std::string text_of(const TensorView& tensor) {
  return {reinterpret_cast<const char*>(tensor.bytes.data()), tensor.bytes.size()};
}

TensorView view(const std::string& name, DType dtype, Shape shape, std::string_view bytes) {
  return {name, dtype, std::move(shape), std::as_bytes(std::span(bytes))};
}

std::string open_error(const fs::path& file) {
  return message_of<DataError>([&] { SafetensorsReader::open(file); });
}

TEST(Safetensors, ReadsWhatUpstreamWrote) {
  const fs::path file = fs::path(TTSFT_FIXTURES) / "qwen3_tts/expected/adapter_init.safetensors";
  const auto reader = SafetensorsReader::open(file);
  EXPECT_EQ(reader.tensors().size(), 56u);
  EXPECT_EQ(reader.metadata(), (std::map<std::string, std::string>{{"format", "pt"}}));
  const auto& a = reader.at(
      "base_model.model.talker.code_predictor.model.layers.0.mlp.down_proj.lora_A.weight");
  EXPECT_EQ(a.dtype, DType::kF32);
  ASSERT_EQ(a.shape.size(), 2u);
  EXPECT_EQ(a.shape[0], 4);  // the rank
  EXPECT_EQ(a.bytes.size(), static_cast<size_t>(4 * shape_size(a.shape)));
  EXPECT_EQ(reader.find("absent"), nullptr);
  EXPECT_THAT(message_of<DataError>([&] { reader.at("absent"); }),
              AllOf(HasSubstr("'absent'"), HasSubstr("adapter_init.safetensors")));
}

TEST(Safetensors, RoundTripKeepsOrderMetadataAndOddOffsets) {
  const TemporaryFolder folder;
  const fs::path file = folder / "a.safetensors";
  write_safetensors(file,
                    {view("z", DType::kU8, {3}, "abc"), view("empty", DType::kF32, {0, 4}, ""),
                     view("a", DType::kF32, {}, "1234"), view("\xC3\xA9", DType::kI16, {1}, "56")},
                    {{"format", "pt"}, {"note", "\"quoted\""}});
  const std::string bytes = read_text(file);
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), 8);
  EXPECT_EQ(length % 8, 0u);
  EXPECT_LT(bytes.find("\"z\""), bytes.find("\"empty\""));
  EXPECT_EQ(bytes.substr(8 + length), "abc123456");

  const auto reader = SafetensorsReader::open(file);
  ASSERT_EQ(reader.tensors().size(), 4u);
  EXPECT_EQ(reader.tensors()[0].name, "a");  // sorted
  EXPECT_EQ(text_of(reader.at("z")), "abc");
  EXPECT_EQ(text_of(reader.at("a")), "1234");  // at the odd offset 3
  EXPECT_EQ(reader.at("a").shape, Shape{});
  EXPECT_EQ(reader.at("empty").shape, (Shape{0, 4}));
  EXPECT_TRUE(reader.at("empty").bytes.empty());
  EXPECT_EQ(text_of(reader.at("\xC3\xA9")), "56");
  EXPECT_EQ(reader.metadata().at("note"), "\"quoted\"");
}

TEST(Safetensors, AFileOfNoTensorsIsAFile) {
  const TemporaryFolder folder;
  write_safetensors(folder / "a.safetensors", {}, {});
  EXPECT_TRUE(SafetensorsReader::open(folder / "a.safetensors").tensors().empty());
}

TEST(Safetensors, OutlivesItsCopies) {
  const TemporaryFolder folder;
  write_safetensors(folder / "a.safetensors", {view("a", DType::kU8, {2}, "ab")});
  TensorView tensor;
  SafetensorsReader kept = [&] {
    const auto reader = SafetensorsReader::open(folder / "a.safetensors");
    tensor = reader.at("a");
    return reader;
  }();
  EXPECT_EQ(text_of(tensor), "ab");
}

TEST(Safetensors, WriterRefusesWrongTensors) {
  const TemporaryFolder folder;
  const fs::path file = folder / "a.safetensors";
  const TensorView good = view("a", DType::kU8, {1}, "x");
  EXPECT_THROW(write_safetensors(file, {good, good}), RunError);
  EXPECT_THROW(write_safetensors(file, {view("a", DType::kF32, {1}, "x")}), RunError);
  EXPECT_THROW(write_safetensors(file, {view("__metadata__", DType::kU8, {1}, "x")}), RunError);
  EXPECT_FALSE(fs::exists(file));
}

struct Malformed {
  std::string content, reason;
};

TEST(Safetensors, StreamsWhatItWouldWriteAtOnce) {
  const TemporaryFolder folder;
  const std::vector<TensorView> whole = {view("a", DType::kF32, {1}, "1234"),
                                         view("b", DType::kU8, {3}, "567")};
  write_safetensors(folder / "whole.safetensors", whole);
  std::vector<TensorView> shapes = whole;
  for (TensorView& tensor : shapes) tensor.bytes = {};
  stream_safetensors(folder / "stream.safetensors", shapes,
                     [&](const TensorView& tensor, std::span<std::byte> values) {
                       const TensorView& source = tensor.name == "a" ? whole[0] : whole[1];
                       ASSERT_EQ(values.size(), source.bytes.size());
                       EXPECT_EQ(values[0], std::byte{0});
                       std::memcpy(values.data(), source.bytes.data(), values.size());
                     });
  EXPECT_EQ(read_text(folder / "stream.safetensors"), read_text(folder / "whole.safetensors"));

  const auto failing = [](const TensorView&, std::span<std::byte>) { throw RunError("no"); };
  EXPECT_THROW(stream_safetensors(folder / "c.safetensors", shapes, failing), RunError);
  EXPECT_FALSE(fs::exists(folder / "c.safetensors"));
}

TEST(Safetensors, RefusesEveryMalformedHeader) {
  const auto one = [](const std::string& entry, size_t bytes = 4) {
    return file_text("{\"t\":" + entry + "}", bytes);
  };
  const auto two = [](const std::string& a, const std::string& b, size_t bytes) {
    return file_text(R"({"a":{"dtype":"U8",)" + a + R"(},"b":{"dtype":"U8",)" + b + "}}", bytes);
  };
  const std::vector<Malformed> cases = {
      {"", "too few"},
      {"1234567", "too few"},
      {with_length(0, ""), "not a JSON object"},
      {with_length(3, "{}"), "in a file of 10"},
      {with_length(UINT64_MAX, "{}"), "over the limit"},
      {with_length(100'000'001, "{}"), "over the limit"},
      {file_text("{\"t\":", 0), "not JSON"},
      {file_text("{} x", 0), "not JSON"},
      {file_text("{\"\xFF\":1}", 0), "not JSON"},
      {file_text("[]", 0), "not a JSON object"},
      {file_text(" {}", 0), "not a JSON object"},
      {file_text(R"({"t":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},)"
                 R"("t":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})",
                 0),
       "'t' twice"},
      {file_text(R"({"__metadata__":{"a":"1","a":"2"}})", 0), "'a' twice"},
      {one(R"({"dtype":"U8","dtype":"U8","shape":[4],"data_offsets":[0,4]})"), "'dtype' twice"},
      {one("3"), "not described by an object"},
      {one(R"({"shape":[1],"data_offsets":[0,4]})"), "lacks 'dtype'"},
      {one(R"({"dtype":"F32","data_offsets":[0,4]})"), "lacks 'shape'"},
      {one(R"({"dtype":"F32","shape":[1]})"), "lacks 'data_offsets'"},
      {one(R"({"dtype":1,"shape":[1],"data_offsets":[0,4]})"), "dtype of tensor 't'"},
      {one(R"({"dtype":"F8_E4M3","shape":[4],"data_offsets":[0,4]})"), "\"F8_E4M3\""},
      {one(R"({"dtype":"F32","shape":1,"data_offsets":[0,4]})"), "not a list"},
      {one(R"({"dtype":"F32","shape":[-1],"data_offsets":[0,4]})"), "not a count"},
      {one(R"({"dtype":"F32","shape":[1.0],"data_offsets":[0,4]})"), "not a count"},
      {one(R"({"dtype":"F32","shape":["1"],"data_offsets":[0,4]})"), "not a count"},
      {one(R"({"dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,4]})"),
       "not a count"},
      {one(R"({"dtype":"F32","shape":[4294967296,4294967297],"data_offsets":[0,4]})"), "too large"},
      {one(R"({"dtype":"F32","shape":[9223372036854775807],"data_offsets":[0,4]})"), "too large"},
      {one(R"({"dtype":"F32","shape":[1],"data_offsets":[0]})"), "not two numbers"},
      {one(R"({"dtype":"F32","shape":[1],"data_offsets":"0,4"})"), "not two numbers"},
      {one(R"({"dtype":"F32","shape":[1],"data_offsets":[-4,0]})"), "not a count"},
      {one(R"({"dtype":"F32","shape":[1],"data_offsets":[4,0]})"), "leave"},
      {one(R"({"dtype":"F32","shape":[2],"data_offsets":[0,8]})"), "leave"},
      {one(R"({"dtype":"F32","shape":[2],"data_offsets":[0,4]})"), "needs 8 bytes"},
      {one(R"({"dtype":"F32","shape":[1],"data_offsets":[0,4]})", 5), "belong to no tensor"},
      {two(R"("shape":[4],"data_offsets":[0,4])", R"("shape":[4],"data_offsets":[2,6])", 6),
       "overlaps"},
      {two(R"("shape":[2],"data_offsets":[0,2])", R"("shape":[2],"data_offsets":[4,6])", 6),
       "unused bytes"},
      {one(R"({"dtype":"U8","shape":[2],"data_offsets":[2,4]})"), "unused bytes"},
      {file_text(R"({"__metadata__":[]})", 0), "__metadata__ is not an object"},
      {file_text(R"({"__metadata__":{"a":1}})", 0), "metadata 'a' is not a string"},
  };
  const TemporaryFolder folder;
  for (const auto& [content, reason] : cases) {
    const std::string message = open_error(folder.write("bad.safetensors", content));
    EXPECT_THAT(message, AllOf(HasSubstr(reason), HasSubstr("bad.safetensors")));
  }
  EXPECT_THAT(open_error(folder / "absent.safetensors"), HasSubstr("absent.safetensors"));
}

TEST(Safetensors, DeepNestingIsRefusedAndDoesNotCrash) {
  const TemporaryFolder folder;
  const std::string deep(200'000, '[');
  EXPECT_THAT(open_error(folder.write("a.safetensors", file_text("{\"t\":" + deep, 0))),
              HasSubstr("not JSON"));
}

class Sharded : public ::testing::Test {
 protected:
  void SetUp() override {
    write_safetensors(folder_ / "1.safetensors",
                      {view("b", DType::kU8, {1}, "b"), view("d", DType::kU8, {1}, "d")});
    write_safetensors(folder_ / "2.safetensors",
                      {view("a", DType::kU8, {1}, "a"), view("c", DType::kU8, {1}, "c")});
  }
  void index(const std::string& weight_map) {
    folder_.write("model.safetensors.index.json", "{\"weight_map\":" + weight_map + "}");
  }
  TemporaryFolder folder_;
};

constexpr const char* kWholeMap =
    R"({"a":"2.safetensors","b":"1.safetensors","c":"2.safetensors","d":"1.safetensors"})";

TEST_F(Sharded, IsOneSortedList) {
  index(kWholeMap);
  for (const fs::path& path : {folder_.path(), folder_ / "model.safetensors.index.json"}) {
    const auto reader = SafetensorsReader::open(path);
    std::string all;
    for (const TensorView& tensor : reader.tensors()) all += tensor.name + text_of(tensor);
    EXPECT_EQ(all, "aabbccdd");
    EXPECT_EQ(reader.metadata().at("format"), "pt");
  }
}

TEST_F(Sharded, RefusesAnIndexThatDisagreesWithItsShards) {
  index(R"({"a":"2.safetensors","x":"1.safetensors"})");
  EXPECT_THAT(open_error(folder_.path()), HasSubstr("'x' is not in 1.safetensors"));
  index(R"({"a":"1.safetensors","b":"1.safetensors","c":"2.safetensors"})");
  EXPECT_THAT(open_error(folder_.path()), HasSubstr("'a' is not in 1.safetensors"));
  index(R"({"a":"2.safetensors","x":"3.safetensors"})");
  EXPECT_THAT(open_error(folder_.path()), HasSubstr("3.safetensors"));
  index(kWholeMap);
  write_safetensors(folder_ / "1.safetensors", {view("a", DType::kU8, {1}, "x")});
  EXPECT_THAT(open_error(folder_.path()), HasSubstr("both 1.safetensors and 2.safetensors"));
}

TEST_F(Sharded, RefusesAMalformedIndex) {
  for (const std::string map : {"{}", "[]", "3", "null"}) {
    index(map);
    EXPECT_THAT(open_error(folder_.path()), HasSubstr("no weight_map")) << map;
  }
  for (const std::string shard :
       {R"("../1.safetensors")", R"("/etc/passwd")", R"("a\\b")", R"("..")", R"("")", "1"}) {
    index("{\"a\":" + shard + "}");
    EXPECT_THAT(open_error(folder_.path()), HasSubstr("not a plain file name")) << shard;
  }
  index(R"({"a":"1.safetensors","a":"2.safetensors"})");
  EXPECT_THAT(open_error(folder_.path()), HasSubstr("'a' twice"));
  folder_.write("model.safetensors.index.json", "not json");
  EXPECT_THAT(open_error(folder_.path()), HasSubstr("model.safetensors.index.json"));
}

TEST_F(Sharded, AFolderWithoutAModelIsNamed) {
  EXPECT_THAT(open_error(folder_.path()), HasSubstr("no model.safetensors"));
}

}  // namespace
}  // namespace ttsft
