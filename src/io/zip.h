// Zip archives as torch.save writes them: every entry is stored as it is, so that a mapped file
// yields its bytes without a copy. Zip64 (entries, offsets and archives of 4 GB and more) is read
// and written. Format: PKWARE's APPNOTE.TXT 4.3 and 4.5.3.
#pragma once

#include <cstddef>
#include <cstdint>
#include <ostream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ttsft {

struct ZipEntry {
  std::string name;
  std::span<const std::byte> bytes;  // into the archive
};

bool is_zip(std::span<const std::byte> file);

// In the directory's order. DataError, with `where` as the file: truncated, malformed, an entry
// that is compressed or encrypted, a name that stands twice.
std::vector<ZipEntry> read_zip(std::span<const std::byte> file, const std::string& where);

class ZipWriter {
 public:
  static constexpr uint64_t kAlignment = 64;  // where the bytes of an entry begin: a multiple of it

  explicit ZipWriter(std::ostream& out) : out_(out) {}  // must outlive the writer
  void add(const std::string& name, std::span<const std::byte> bytes);
  void finish();  // the directory; nothing can be added after it

 private:
  struct Written {
    std::string name;
    uint32_t crc;
    uint64_t size, offset;
  };
  void put(std::string_view bytes);

  std::ostream& out_;
  uint64_t position_ = 0;
  std::vector<Written> entries_;
};

}  // namespace ttsft
