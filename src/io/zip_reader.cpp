#include <algorithm>
#include <set>

#include "little_endian.h"
#include "printable.h"
#include "ttsft/core/error.h"
#include "zip.h"

namespace ttsft {
namespace {

using Bytes = std::span<const std::byte>;

constexpr uint32_t kLocalSignature = 0x04034b50;
constexpr uint32_t kEntrySignature = 0x02014b50;
constexpr uint32_t kEndSignature = 0x06054b50;
constexpr uint32_t kEnd64Signature = 0x06064b50;
constexpr uint32_t kLocator64Signature = 0x07064b50;
constexpr size_t kLocalSize = 30, kEntrySize = 46, kEndSize = 22, kEnd64Size = 56,
                 kLocatorSize = 20;
constexpr size_t kMaxComment = 65535;
constexpr uint16_t kEncrypted = 1;
constexpr uint16_t kZip64Field = 1;
constexpr uint32_t kIn64 = UINT32_MAX;  // "see the zip64 field"

class Reader {
 public:
  Reader(Bytes file, const std::string& where) : file_(file), where_(where) {}

  std::vector<ZipEntry> read() {
    const Directory directory = find_directory();
    std::vector<ZipEntry> entries;
    std::set<std::string> names;
    size_t at = 0;
    for (uint64_t i = 0; i < directory.entries; ++i) {
      entries.push_back(read_entry(directory.bytes, at));
      if (!names.insert(entries.back().name).second) {
        malformed("the entry " + printable(entries.back().name) + " stands twice");
      }
    }
    return entries;
  }

 private:
  struct Directory {
    Bytes bytes;
    uint64_t entries;
  };

  [[noreturn]] void malformed(const std::string& reason) const {
    throw DataError("malformed zip archive: " + reason, where_, "download or write it again");
  }

  // The end record is behind everything but a comment.
  size_t find_end() const {
    const size_t size = file_.size();
    for (size_t comment = 0; comment <= kMaxComment && kEndSize + comment <= size; ++comment) {
      const size_t at = size - kEndSize - comment;
      if (load_number<uint32_t>(file_, at) == kEndSignature &&
          load_number<uint16_t>(file_, at + 20) == comment) {
        return at;
      }
    }
    throw DataError(
        "the file is cut off: it begins as a zip archive and lacks the directory at its "
        "end",
        where_, "download or write it again");
  }

  Directory find_directory() const {
    const size_t end = find_end();
    uint64_t entries = load_number<uint16_t>(file_, end + 10);
    uint64_t size = load_number<uint32_t>(file_, end + 12);
    uint64_t offset = load_number<uint32_t>(file_, end + 16);
    if (end >= kLocatorSize &&
        load_number<uint32_t>(file_, end - kLocatorSize) == kLocator64Signature) {
      const auto end64 = load_number<uint64_t>(file_, end - kLocatorSize + 8);
      if (end64 > file_.size() || file_.size() - end64 < kEnd64Size ||
          load_number<uint32_t>(file_, end64) != kEnd64Signature) {
        malformed("its zip64 record is not where it should be");
      }
      entries = load_number<uint64_t>(file_, end64 + 32);
      size = load_number<uint64_t>(file_, end64 + 40);
      offset = load_number<uint64_t>(file_, end64 + 48);
    }
    if (offset > file_.size() || size > file_.size() - offset) {
      malformed("its directory is outside the file");
    }
    if (entries > size / kEntrySize) malformed("its directory is too short for its entries");
    return {file_.subspan(offset, size), entries};
  }

  // The entry at `at` of the directory; moves on.
  ZipEntry read_entry(Bytes directory, size_t& at) const {
    if (directory.size() - at < kEntrySize ||
        load_number<uint32_t>(directory, at) != kEntrySignature) {
      malformed("its directory is damaged");
    }
    const Bytes head = directory.subspan(at, kEntrySize);
    const auto flags = load_number<uint16_t>(head, 8);
    const auto method = load_number<uint16_t>(head, 10);
    uint64_t packed = load_number<uint32_t>(head, 20);
    uint64_t size = load_number<uint32_t>(head, 24);
    const size_t name_size = load_number<uint16_t>(head, 28);
    const size_t extra_size = load_number<uint16_t>(head, 30);
    const size_t comment_size = load_number<uint16_t>(head, 32);
    uint64_t offset = load_number<uint32_t>(head, 42);
    at += kEntrySize;
    if (directory.size() - at < name_size + extra_size + comment_size) {
      malformed("its directory is damaged");
    }
    ZipEntry entry;
    const Bytes name = directory.subspan(at, name_size);
    entry.name.assign(reinterpret_cast<const char*>(name.data()), name.size());
    read_zip64(directory.subspan(at + name_size, extra_size), size, packed, offset);
    at += name_size + extra_size + comment_size;

    if ((flags & kEncrypted) != 0) {
      throw DataError("the entry " + printable(entry.name) + " of the zip archive is encrypted",
                      where_);
    }
    if (method != 0) {
      throw DataError("the entry " + printable(entry.name) + " of the zip archive is compressed",
                      where_,
                      "torch.save stores without compression: write the file with it again");
    }
    if (packed != size) malformed("the entry " + printable(entry.name) + " has two sizes");
    entry.bytes = find_bytes(entry.name, offset, size);
    return entry;
  }

  // Of size, packed size and offset, in this order, the field holds those that did not fit.
  void read_zip64(Bytes extra, uint64_t& size, uint64_t& packed, uint64_t& offset) const {
    while (extra.size() >= 4) {
      const auto id = load_number<uint16_t>(extra, 0);
      const size_t length = load_number<uint16_t>(extra, 2);
      if (extra.size() - 4 < length) malformed("its directory is damaged");
      Bytes field = extra.subspan(4, length);
      extra = extra.subspan(4 + length);
      if (id != kZip64Field) continue;
      for (uint64_t* value : {&size, &packed, &offset}) {
        if (*value != kIn64 || field.size() < sizeof(uint64_t)) continue;
        *value = load_number<uint64_t>(field, 0);
        field = field.subspan(sizeof(uint64_t));
      }
    }
  }

  Bytes find_bytes(const std::string& name, uint64_t offset, uint64_t size) const {
    if (offset > file_.size() || file_.size() - offset < kLocalSize ||
        load_number<uint32_t>(file_, offset) != kLocalSignature) {
      malformed("the entry " + printable(name) + " is not where the directory places it");
    }
    const uint64_t begin = offset + kLocalSize + load_number<uint16_t>(file_, offset + 26) +
                           load_number<uint16_t>(file_, offset + 28);
    if (begin > file_.size() || size > file_.size() - begin) {
      malformed("the entry " + printable(name) + " of " + std::to_string(size) +
                " bytes leaves the file");
    }
    return file_.subspan(begin, size);
  }

  Bytes file_;
  const std::string& where_;
};

}  // namespace

bool is_zip(Bytes file) {
  return file.size() >= sizeof(uint32_t) && load_number<uint32_t>(file, 0) == kLocalSignature;
}

std::vector<ZipEntry> read_zip(Bytes file, const std::string& where) {
  return Reader(file, where).read();
}

}  // namespace ttsft
