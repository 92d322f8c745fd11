#include "ttsft/io/npy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "tests/support/temporary_folder.h"
#include "ttsft/core/error.h"
#include "ttsft/io/atomic_file.h"

namespace ttsft {
namespace {

using testing::HasSubstr;

// numpy.save of numpy.array([[1, -2, 3]], dtype="<i4"), byte by byte.
std::string saved_by_numpy() {
  std::string text("\x93NUMPY\x01\x00\x76\x00", 10);
  std::string header = "{'descr': '<i4', 'fortran_order': False, 'shape': (1, 3), }";
  header.append(117 - header.size(), ' ');
  text += header + "\n";
  const int32_t values[] = {1, -2, 3};
  text.append(reinterpret_cast<const char*>(values), sizeof values);
  return text;
}

template <typename T>
std::vector<T> values_of(const TensorView& view) {
  std::vector<T> values(view.bytes.size() / sizeof(T));
  std::memcpy(values.data(), view.bytes.data(), view.bytes.size());
  return values;
}

std::string refusal(const std::string& content) {
  const TemporaryFolder folder;
  return message_of<DataError>([&] { NpyFile::open(folder.write("x.npy", content)); });
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  text.replace(text.find(from), from.size(), to);
  return text;
}

TEST(Npy, ReadsWhatNumpyWrites) {
  const TemporaryFolder folder;
  const auto file = NpyFile::open(folder.write("a.npy", saved_by_numpy()));
  EXPECT_EQ(file->array().dtype, DType::kI32);
  EXPECT_EQ(file->array().shape, (Shape{1, 3}));
  EXPECT_EQ(values_of<int32_t>(file->array()), (std::vector<int32_t>{1, -2, 3}));
  EXPECT_EQ(file->tensors().size(), 1u);
}

TEST(Npy, WritesWhatNumpyWrites) {
  const TemporaryFolder folder;
  const int32_t values[] = {1, -2, 3};
  const TensorView view{"", DType::kI32, {1, 3}, std::as_bytes(std::span(values))};
  write_npy(folder / "a.npy", view);
  EXPECT_EQ(read_text(folder / "a.npy"), saved_by_numpy());
}

TEST(Npy, EveryTypeAndShapeComesBack) {
  const TemporaryFolder folder;
  const std::vector<std::byte> bytes(6 * 8, std::byte{7});
  for (const DType dtype : {DType::kBool, DType::kU8, DType::kI8, DType::kI16, DType::kI32,
                            DType::kI64, DType::kF16, DType::kF32, DType::kF64}) {
    for (const Shape& shape : {Shape{6}, Shape{2, 3}, Shape{1, 2, 3}, Shape{}, Shape{0, 4}}) {
      const auto size = static_cast<size_t>(shape_size(shape) * dtype_size(dtype));
      const TensorView view{"", dtype, shape, std::span(bytes).first(size)};
      write_npy(folder / "x.npy", view);
      const auto file = NpyFile::open(folder / "x.npy");
      EXPECT_EQ(file->array().dtype, dtype);
      EXPECT_EQ(file->array().shape, shape);
      EXPECT_EQ(file->array().bytes.size(), size);
      EXPECT_EQ(std::filesystem::file_size(folder / "x.npy") - size, 128u);
    }
  }
  const TensorView bf16{"", DType::kBF16, {1}, std::span(bytes).first(2)};
  EXPECT_THROW(write_npy(folder / "x.npy", bf16), std::logic_error);
  const TensorView few{"", DType::kI32, {2}, std::span(bytes).first(7)};
  EXPECT_THROW(write_npy(folder / "x.npy", few), std::logic_error);
}

TEST(Npy, UpstreamsFilesComeBackByteForByte) {
  namespace fs = std::filesystem;
  const TemporaryFolder folder;
  int count = 0;
  for (const auto& entry :
       fs::recursive_directory_iterator(fs::path(TTSFT_FIXTURES) / "indextts2/expected/prep")) {
    if (entry.path().extension() != ".npy") continue;
    write_npy(folder / "again.npy", NpyFile::open(entry.path())->array());
    EXPECT_EQ(read_text(folder / "again.npy"), read_text(entry.path())) << entry.path();
    ++count;
  }
  EXPECT_GT(count, 0);
}

// numpy keeps room for the first dimension to grow: 20 spaces here, which need another 64 bytes.
TEST(Npy, ManyDimensionsHaveALongerHeader) {
  const TemporaryFolder folder;
  const std::byte value{};
  Shape shape(14, 1);
  write_npy(folder / "x.npy", {"", DType::kU8, shape, std::span(&value, 1)});
  EXPECT_EQ(read_text(folder / "x.npy").size(), 129u);
  shape.push_back(1);
  write_npy(folder / "x.npy", {"", DType::kU8, shape, std::span(&value, 1)});
  EXPECT_EQ(read_text(folder / "x.npy").size(), 193u);
}

TEST(Npy, LongHeadersOfLaterVersions) {
  std::string text = saved_by_numpy();
  text = std::string("\x93NUMPY\x02\x00\x76\x00\x00\x00", 12) + text.substr(10);
  const TemporaryFolder folder;
  EXPECT_EQ(values_of<int32_t>(NpyFile::open(folder.write("a.npy", text))->array()),
            (std::vector<int32_t>{1, -2, 3}));
}

TEST(Npy, RefusesWhatItCannotRead) {
  const std::string good = saved_by_numpy();
  EXPECT_THAT(refusal("something else entirely"), HasSubstr("not a .npy file"));
  EXPECT_THAT(refusal(good.substr(0, 40)), HasSubstr("cut short"));
  EXPECT_THAT(refusal(good.substr(0, good.size() - 1)), HasSubstr("cut short"));
  EXPECT_THAT(refusal(replaced(good, "(1, 3)", "(9, 3)")), HasSubstr("cut short"));
  EXPECT_THAT(refusal(replaced(good, "(1, 3), }      ", "(4611686018, 9)")),
              HasSubstr("cut short"));
  EXPECT_THAT(refusal(replaced(good, "'<i4'", "'>i4'")), HasSubstr("type >i4"));
  EXPECT_THAT(refusal(replaced(good, "'<i4'", "'|O' ")), HasSubstr("type |O"));
  EXPECT_THAT(refusal(replaced(good, "False", "True ")), HasSubstr("Fortran order"));
  EXPECT_THAT(refusal(replaced(good, "(1, 3)", "(1,-3)")), HasSubstr("no valid shape"));
  EXPECT_THAT(refusal(replaced(good, "shape", "shaqe")), HasSubstr("no shape"));
  EXPECT_THAT(refusal(replaced(good, std::string("\x01\x00", 2), std::string("\x09\x00", 2))),
              HasSubstr("unknown version"));
  EXPECT_THAT(message_of<DataError>([] { NpyFile::open("/nowhere/x.npy"); }),
              HasSubstr("/nowhere/x.npy"));
}

}  // namespace
}  // namespace ttsft
