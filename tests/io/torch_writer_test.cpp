#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "src/io/zip.h"
#include "support/temporary_folder.h"
#include "ttsft/core/error.h"
#include "ttsft/io/mapped_file.h"
#include "ttsft/io/torch_file.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TensorView view(DType dtype, Shape shape, const std::string& bytes) {
  return {"t", dtype, std::move(shape), std::as_bytes(std::span(bytes))};
}

void expect_equal(const TorchValue& a, const TorchValue& b);

void expect_equal(const TorchValue::List& a, const TorchValue::List& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) expect_equal(a[i], b[i]);
}

// What it holds, apart from the memory that tensors lie in.
void expect_equal(const TorchValue& a, const TorchValue& b) {
  ASSERT_EQ(a.data.index(), b.data.index());
  if (const TensorView* tensor = a.tensor()) {
    EXPECT_EQ(tensor->name, b.tensor()->name);
    EXPECT_EQ(tensor->dtype, b.tensor()->dtype);
    EXPECT_EQ(tensor->shape, b.tensor()->shape);
    EXPECT_TRUE(std::equal(tensor->bytes.begin(), tensor->bytes.end(), b.tensor()->bytes.begin(),
                           b.tensor()->bytes.end()));
  } else if (const auto* list = std::get_if<TorchValue::List>(&a.data)) {
    expect_equal(*list, std::get<TorchValue::List>(b.data));
  } else if (const auto* tuple = std::get_if<TorchValue::Tuple>(&a.data)) {
    expect_equal(tuple->items, std::get<TorchValue::Tuple>(b.data).items);
  } else if (a.dict()) {
    ASSERT_EQ(a.dict()->size(), b.dict()->size());
    for (size_t i = 0; i < a.dict()->size(); ++i) {
      EXPECT_EQ(a.dict()->at(i).first, b.dict()->at(i).first);
      expect_equal(a.dict()->at(i).second, b.dict()->at(i).second);
    }
  } else if (const auto* text = std::get_if<std::string>(&a.data)) {
    EXPECT_EQ(*text, std::get<std::string>(b.data));
  } else if (const auto* whole = std::get_if<int64_t>(&a.data)) {
    EXPECT_EQ(*whole, std::get<int64_t>(b.data));
  } else if (const auto* real = std::get_if<double>(&a.data)) {
    EXPECT_EQ(*real, std::get<double>(b.data));
  } else if (const auto* flag = std::get_if<bool>(&a.data)) {
    EXPECT_EQ(*flag, std::get<bool>(b.data));
  }
}

TEST(TorchWriter, WritesWhatWasRead) {
  const TemporaryFolder folder;
  for (const char* name : {"nested.pt", "dtypes.bin", "views.pt", "tensor.pt"}) {
    const auto original = TorchFile::open(fs::path(TTSFT_FIXTURES) / "torch_files" / name);
    write_torch_file(folder / name, original->root());
    const auto written = TorchFile::open(folder / name);
    expect_equal(original->root(), written->root());
    write_torch_file(folder / "again.pt", written->root());
    expect_equal(original->root(), TorchFile::open(folder / "again.pt")->root());
  }
}

TEST(TorchWriter, LaysFilesOutAsPyTorchDoes) {
  const TemporaryFolder folder;
  const std::string bytes = "12345678";
  const TensorView tensor = view(DType::kF32, {2}, bytes);
  const TensorView other = view(DType::kF32, {1}, bytes.substr(0, 4));
  write_torch_file(folder / "model.pth", {TorchValue::Dict{{"a", {tensor}}, {"tied", {tensor}}}});
  const MappedFile file(folder / "model.pth");
  std::vector<std::string> names;
  for (const ZipEntry& entry : read_zip(file.bytes(), "model.pth")) {
    names.push_back(entry.name);
    EXPECT_EQ((entry.bytes.data() - file.bytes().data()) % 64, 0);
  }
  EXPECT_THAT(names,
              ElementsAre("model/data.pkl", "model/.format_version", "model/.storage_alignment",
                          "model/byteorder", "model/data/0", "model/version"));
  const auto read = TorchFile::open(folder / "model.pth");
  EXPECT_EQ(read->at("a").bytes.data(), read->at("tied").bytes.data());
}

TEST(TorchWriter, AsksForValuesOneTensorAfterTheOther) {
  const TemporaryFolder folder;
  const std::string bytes = "12345678";
  TensorView there = view(DType::kF32, {2}, bytes), awaited{"w", DType::kI16, {2, 2}, {}};
  std::vector<std::string> asked;
  const auto fill = [&](const TensorView& tensor, std::span<std::byte> values) {
    asked.push_back(tensor.name);
    EXPECT_EQ(values.size(), 8u);
    values[0] = std::byte{7};
  };
  const TorchValue root{
      TorchValue::Dict{{"there", {there}}, {"one", {awaited}}, {"two", {awaited}}}};
  write_torch_file(folder / "m.pt", root, fill);
  EXPECT_THAT(asked, ElementsAre("w")) << "one storage for both";
  const auto read = TorchFile::open(folder / "m.pt");
  EXPECT_EQ(std::to_integer<int>(read->at("two").bytes[0]), 7);
  EXPECT_EQ(std::to_integer<int>(read->at("two").bytes[1]), 0);
  EXPECT_EQ(read->at("two").shape, (Shape{2, 2}));
  EXPECT_EQ(read->at("one").bytes.data(), read->at("two").bytes.data());
  EXPECT_TRUE(std::equal(there.bytes.begin(), there.bytes.end(), read->at("there").bytes.begin()));
  EXPECT_THROW(write_torch_file(folder / "n.pt", root), RunError);  // nobody to ask

  asked.clear();
  TensorView other = awaited;
  other.name = "v";
  write_torch_file(folder / "o.pt", {TorchValue::Dict{{"one", {awaited}}, {"two", {other}}}}, fill);
  EXPECT_THAT(asked, ElementsAre("w", "v"));
}

TEST(TorchWriter, RefusesWhatCannotBeWritten) {
  const TemporaryFolder folder;
  const fs::path file = folder / "x.pt";
  const std::string bytes = "123";
  EXPECT_THAT(
      message_of<RunError>([&] { write_torch_file(file, {view(DType::kF32, {1}, bytes)}); }),
      AllOf(HasSubstr("has 3 bytes"), HasSubstr("x.pt")));
  EXPECT_THAT(message_of<RunError>([&] { write_torch_file(file, {std::string("\xFF")}); }),
              HasSubstr("UTF-8"));
  EXPECT_FALSE(fs::exists(file));
}

}  // namespace
}  // namespace ttsft
