#include "ttsft/io/tensor_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/temporary_folder.h"
#include "ttsft/core/error.h"

namespace ttsft {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(TensorFile, NamesAndSizesOfDataTypes) {
  const std::vector<std::pair<DType, int64_t>> sizes = {
      {DType::kBool, 1}, {DType::kU8, 1},  {DType::kI8, 1},   {DType::kI16, 2}, {DType::kI32, 4},
      {DType::kI64, 8},  {DType::kF16, 2}, {DType::kBF16, 2}, {DType::kF32, 4}, {DType::kF64, 8}};
  for (const auto& [dtype, size] : sizes) {
    EXPECT_EQ(dtype_size(dtype), size);
    EXPECT_EQ(dtype_from_name(dtype_name(dtype)), dtype);
  }
  EXPECT_EQ(dtype_name(DType::kBF16), "BF16");
  EXPECT_THROW(dtype_from_name("F8_E4M3"), DataError);
  EXPECT_THROW(dtype_from_name("f32"), DataError);
}

TEST(TensorFile, ShapeSize) {
  EXPECT_EQ(shape_size({}), 1);
  EXPECT_EQ(shape_size({2, 3}), 6);
  EXPECT_EQ(shape_size({2, 0}), 0);
  EXPECT_THROW(shape_size({-1}), DataError);
  EXPECT_THROW(shape_size({int64_t{1} << 40, int64_t{1} << 40}), DataError);
}

TEST(TensorFile, ShapeText) {
  EXPECT_EQ(shape_text({2, 3}), "[2, 3]");
  EXPECT_EQ(shape_text({}), "[]");
}

// Tensors of three bytes each, in memory.
class Memory : public TensorFile {
 public:
  explicit Memory(const std::vector<std::string>& names) {
    path_ = "memory.bin";
    metadata_["format"] = "pt";
    for (const std::string& name : names)
      tensors_.push_back({name, DType::kU8, {3}, std::as_bytes(std::span(bytes_))});
    sort();
  }

 private:
  std::vector<uint8_t> bytes_ = {1, 2, 3};
};

TEST(TensorFile, FindsByName) {
  const Memory file({"b", "a", "a.c"});
  EXPECT_EQ(file.tensors().front().name, "a");
  ASSERT_NE(file.find("a.c"), nullptr);
  EXPECT_EQ(file.find("a."), nullptr);
  EXPECT_EQ(file.at("b").shape, (Shape{3}));
  EXPECT_THAT(message_of<DataError>([&] { file.at("c"); }),
              AllOf(HasSubstr("'c'"), HasSubstr("memory.bin")));
}

TEST(TensorFile, ANameThatStandsTwiceIsRefused) {
  EXPECT_THAT(message_of<DataError>([] {
                Memory({"a", "b", "a"});
              }),
              AllOf(HasSubstr("'a' stands twice"), HasSubstr("memory.bin")));
}

TEST(DerivedTensors, RenamesAndComputes) {
  auto source = std::make_shared<Memory>(std::vector<std::string>{"x.a", "x.b"});
  const std::weak_ptr<Memory> watched = source;
  auto derived = std::make_unique<DerivedTensors>(source);
  TensorView renamed = source->at("x.a");
  renamed.name = "z";
  derived->keep(renamed);
  derived->add("y", DType::kI16, {1}, {std::byte{7}, std::byte{0}});
  derived->finish();
  source.reset();
  EXPECT_FALSE(watched.expired()) << "its views look into the source";
  ASSERT_EQ(derived->tensors().size(), 2u);
  EXPECT_EQ(derived->path(), "memory.bin");
  EXPECT_EQ(derived->metadata().at("format"), "pt");
  EXPECT_EQ(derived->tensors()[0].name, "y");
  EXPECT_EQ(derived->at("y").bytes[0], std::byte{7});
  EXPECT_EQ(derived->at("z").bytes[2], std::byte{3});
  EXPECT_EQ(derived->find("x.b"), nullptr);
  derived.reset();
  EXPECT_TRUE(watched.expired());
}

TEST(DerivedTensors, ManyComputedTensorsKeepTheirBytes) {
  DerivedTensors derived(std::make_shared<Memory>(std::vector<std::string>{}));
  for (int i = 0; i < 100; ++i)
    derived.add(std::to_string(i), DType::kU8, {1}, {static_cast<std::byte>(i)});
  derived.finish();
  ASSERT_EQ(derived.tensors().size(), 100u);
  for (int i = 0; i < 100; ++i)
    EXPECT_EQ(derived.at(std::to_string(i)).bytes[0], static_cast<std::byte>(i));
}

TEST(DerivedTensors, TwoOfOneNameAreRefused) {
  const auto source = std::make_shared<Memory>(std::vector<std::string>{"a", "b"});
  DerivedTensors renamed(source);
  TensorView view = source->at("b");
  view.name = "a";
  renamed.keep(source->at("a"));
  renamed.keep(view);
  EXPECT_THAT(message_of<DataError>([&] { renamed.finish(); }),
              AllOf(HasSubstr("'a' stands twice"), HasSubstr("memory.bin")));
  DerivedTensors computed(source);
  computed.keep(source->at("a"));
  computed.add("a", DType::kU8, {1}, {std::byte{1}});
  EXPECT_THROW(computed.finish(), DataError);
}

}  // namespace
}  // namespace ttsft
