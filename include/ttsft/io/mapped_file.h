// A whole file as read-only memory, without copying it.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

namespace ttsft {

// Mapped privately for the life of the object. The file must not be truncated meanwhile.
class MappedFile {
 public:
  explicit MappedFile(
      const std::filesystem::path& file);  // throws DataError when it cannot be read
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return bytes_; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  std::span<const std::byte> bytes_;
};

}  // namespace ttsft
