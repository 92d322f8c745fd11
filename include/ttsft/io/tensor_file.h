// Named arrays as they lie in files, without LibTorch: what the readers of safetensors, .pt and
// .npy yield.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ttsft {

enum class DType { kBool, kU8, kI8, kI16, kI32, kI64, kF16, kBF16, kF32, kF64 };

int64_t dtype_size(DType dtype);               // bytes per value
std::string_view dtype_name(DType dtype);      // safetensors' spelling: "F32", "BF16", ...
DType dtype_from_name(std::string_view name);  // throws DataError

using Shape = std::vector<int64_t>;
int64_t shape_size(const Shape& shape);      // number of values
std::string shape_text(const Shape& shape);  // "[2, 3]"

// A view into a mapped file or into a buffer; valid as long as its owner.
struct TensorView {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
  std::span<const std::byte> bytes;
};

// The tensors of a checkpoint, whatever format they came in, sorted by name. Whoever derives from
// it owns the bytes.
class TensorFile {
 public:
  virtual ~TensorFile() = default;

  const std::vector<TensorView>& tensors() const { return tensors_; }
  const TensorView* find(std::string_view name) const;  // nullptr when absent
  const TensorView& at(std::string_view name) const;    // throws DataError naming file and tensor
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  const std::filesystem::path& path() const { return path_; }

 protected:
  void sort();  // by name; DataError when a name stands twice

  std::filesystem::path path_;
  std::vector<TensorView> tensors_;
  std::map<std::string, std::string> metadata_;
};

// A tensor file changed on its way into a module: renamed, filtered, with computed tensors. Keeps
// the files that its views look into.
class DerivedTensors : public TensorFile {
 public:
  explicit DerivedTensors(std::shared_ptr<const TensorFile> source);
  void keep(const TensorView& view);  // as it is, or with another name
  void add(const std::string& name, DType dtype, const Shape& shape, std::vector<std::byte> bytes);
  void finish() { sort(); }  // before the first look

 private:
  std::shared_ptr<const TensorFile> source_;
  std::vector<std::unique_ptr<std::vector<std::byte>>> computed_;
};

}  // namespace ttsft
