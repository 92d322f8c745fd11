#include "ttsft/io/npy.h"

#include <array>
#include <charconv>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "ttsft/core/error.h"
#include "ttsft/io/atomic_file.h"
#include "ttsft/io/mapped_file.h"

namespace ttsft {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr size_t kAlignment = 64;  // of the data, as numpy pads the header
// numpy leaves room for the first dimension to grow in place to any 64 bits, with a sign.
constexpr size_t kMostDigits = 21;

struct TypeName {
  std::string_view code;
  DType dtype;
};
// Of one-byte types the byte order is '|'.
constexpr std::array kTypes = {
    TypeName{"|b1", DType::kBool}, TypeName{"|u1", DType::kU8},  TypeName{"|i1", DType::kI8},
    TypeName{"<i2", DType::kI16},  TypeName{"<i4", DType::kI32}, TypeName{"<i8", DType::kI64},
    TypeName{"<f2", DType::kF16},  TypeName{"<f4", DType::kF32}, TypeName{"<f8", DType::kF64}};

[[noreturn]] void refuse(const std::filesystem::path& file, const std::string& what) {
  throw DataError(what, file.string(), "save it with numpy.save as a plain array of numbers");
}

// The header is a Python dictionary in one fixed spelling: what stands behind 'key':
std::string_view value_of(std::string_view header, const std::string& key,
                          const std::filesystem::path& file) {
  const std::string quoted = "'" + key + "':";
  const size_t at = header.find(quoted);
  if (at == std::string_view::npos) refuse(file, "the .npy header has no " + key);
  std::string_view value = header.substr(at + quoted.size());
  while (value.starts_with(' ')) value.remove_prefix(1);
  return value;
}

DType read_type(std::string_view header, const std::filesystem::path& file) {
  const std::string_view value = value_of(header, "descr", file);
  if (!value.starts_with('\'')) refuse(file, "an array of structures");
  const std::string_view code = value.substr(1, value.find('\'', 1) - 1);
  for (const TypeName& type : kTypes)
    if (type.code == code) return type.dtype;
  refuse(file, "an array of type " + std::string(code));
}

Shape read_shape(std::string_view header, const std::filesystem::path& file) {
  std::string_view value = value_of(header, "shape", file);
  const size_t end = value.find(')');
  if (!value.starts_with('(') || end == std::string_view::npos)
    refuse(file, "the .npy header has no shape");
  value = value.substr(1, end - 1);
  Shape shape;
  for (;;) {
    while (value.starts_with(' ') || value.starts_with(',')) value.remove_prefix(1);
    if (value.empty()) return shape;
    int64_t size = -1;
    const auto [rest, error] = std::from_chars(value.data(), value.data() + value.size(), size);
    if (error != std::errc() || size < 0) refuse(file, "the .npy header has no valid shape");
    value.remove_prefix(static_cast<size_t>(rest - value.data()));
    shape.push_back(size);
  }
}

// Number of values, or -1 where it does not fit into `limit` bytes.
int64_t values_within(const Shape& shape, int64_t bytes_each, size_t limit) {
  int64_t count = 1;
  for (const int64_t size : shape) {
    if (size > 0 && count > static_cast<int64_t>(limit) / size) return -1;
    count *= size;
  }
  return count * bytes_each <= static_cast<int64_t>(limit) ? count : -1;
}

}  // namespace

std::shared_ptr<const NpyFile> NpyFile::open(const std::filesystem::path& path) {
  auto file = std::make_shared<NpyFile>();
  file->path_ = path;
  file->mapped_ = std::make_shared<MappedFile>(path);
  const std::span<const std::byte> bytes = file->mapped_->bytes();
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (!text.starts_with(kMagic) || text.size() < 12) refuse(path, "not a .npy file");
  const auto byte = [&](size_t i) { return static_cast<size_t>(bytes[i]); };
  const bool short_length = byte(6) == 1;  // version 1: two bytes; 2 and 3: four
  const size_t start = short_length ? 10 : 12;
  size_t length = byte(8) | byte(9) << 8;
  if (!short_length) length |= byte(10) << 16 | byte(11) << 24;
  if (byte(6) < 1 || byte(6) > 3) refuse(path, "a .npy file of an unknown version");
  if (text.size() < start + length) refuse(path, "the .npy file is cut short");
  const std::string_view header = text.substr(start, length);

  TensorView array;
  array.dtype = read_type(header, path);
  array.shape = read_shape(header, path);
  if (value_of(header, "fortran_order", path).starts_with("True") && array.shape.size() > 1)
    refuse(path, "an array in Fortran order");
  const std::span<const std::byte> data = bytes.subspan(start + length);
  const int64_t count = values_within(array.shape, dtype_size(array.dtype), data.size());
  if (count < 0) refuse(path, "the .npy file is cut short");
  array.bytes = data.first(static_cast<size_t>(count * dtype_size(array.dtype)));
  file->tensors_.push_back(std::move(array));
  return file;
}

void write_npy(const std::filesystem::path& path, const TensorView& array, Durability durability) {
  std::string_view code;
  for (const TypeName& type : kTypes)
    if (type.dtype == array.dtype) code = type.code;
  if (code.empty())
    throw std::logic_error("write_npy: no numpy type for " + std::string(dtype_name(array.dtype)));
  if (std::cmp_not_equal(shape_size(array.shape) * dtype_size(array.dtype), array.bytes.size()))
    throw std::logic_error("write_npy: " + std::to_string(array.bytes.size()) +
                           " bytes for the shape " + shape_text(array.shape));
  std::string shape = "(";
  for (size_t i = 0; i < array.shape.size(); ++i)
    shape += (i > 0 ? ", " : "") + std::to_string(array.shape[i]);
  if (array.shape.size() == 1) shape += ",";
  std::string header =
      "{'descr': '" + std::string(code) + "', 'fortran_order': False, 'shape': " + shape + "), }";
  if (!array.shape.empty())
    header.append(kMostDigits - std::to_string(array.shape.front()).size(), ' ');
  const size_t before = kMagic.size() + 4;
  header.append(kAlignment - (before + header.size() + 1) % kAlignment, ' ');
  header += '\n';
  if (header.size() > 0xffff) throw std::logic_error("write_npy: more dimensions than fit");

  AtomicFile file(path, durability);
  file.stream() << kMagic << '\x01' << '\x00' << static_cast<char>(header.size() & 0xff)
                << static_cast<char>(header.size() >> 8) << header;
  file.stream().write(reinterpret_cast<const char*>(array.bytes.data()),
                      static_cast<std::streamsize>(array.bytes.size()));
  file.commit();
}

}  // namespace ttsft
