#include <algorithm>

#include "crc32.h"
#include "little_endian.h"
#include "zip.h"

namespace ttsft {
namespace {

constexpr uint32_t kLocalSignature = 0x04034b50;
constexpr uint32_t kEntrySignature = 0x02014b50;
constexpr uint32_t kEndSignature = 0x06054b50;
constexpr uint32_t kEnd64Signature = 0x06064b50;
constexpr uint32_t kLocator64Signature = 0x07064b50;
constexpr uint16_t kVersion = 45;  // of the format: the first with zip64
constexpr uint16_t kUtf8Names = 0x0800;
constexpr uint16_t kStored = 0;
constexpr uint16_t kTime = 0, kDate = 0x21;  // 1980-01-01, the first day there is: equal files
constexpr uint16_t kZip64Field = 1;
constexpr uint16_t kPaddingField = 0x4246;  // "FB", as PyTorch pads
constexpr uint64_t kMax16 = UINT16_MAX, kMax32 = UINT32_MAX;

uint32_t fit32(uint64_t value) {
  return static_cast<uint32_t>(std::min(value, kMax32));
}

uint16_t fit16(uint64_t value) {
  return static_cast<uint16_t>(std::min(value, kMax16));
}

// What the local header and the directory say alike, from the flags to the length of the name.
void append_common(std::string& out, uint32_t crc, uint64_t size, size_t name_size) {
  append_number(out, kUtf8Names);
  append_number(out, kStored);
  append_number(out, kTime);
  append_number(out, kDate);
  append_number(out, crc);
  append_number(out, fit32(size));
  append_number(out, fit32(size));
  append_number(out, static_cast<uint16_t>(name_size));
}

// A field of the values that do not fit 32 bits; "" when all do.
std::string zip64_field(std::initializer_list<uint64_t> values) {
  std::string field;
  for (const uint64_t value : values) {
    if (value >= kMax32) append_number(field, value);
  }
  if (field.empty()) return field;
  std::string head;
  append_number(head, kZip64Field);
  append_number(head, static_cast<uint16_t>(field.size()));
  return head + field;
}

}  // namespace

void ZipWriter::put(std::string_view bytes) {
  out_.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  position_ += bytes.size();
}

void ZipWriter::add(const std::string& name, std::span<const std::byte> bytes) {
  const Written entry{name, crc32(bytes), bytes.size(), position_};
  std::string extra = zip64_field({entry.size, entry.size});
  std::string header;
  append_number(header, kLocalSignature);
  append_number(header, kVersion);
  append_common(header, entry.crc, entry.size, name.size());
  // The length of the extra fields and the head of the padding are still to come.
  const uint64_t unpadded =
      position_ + header.size() + sizeof(uint16_t) + name.size() + extra.size() + 4;
  const uint64_t padding = (kAlignment - unpadded % kAlignment) % kAlignment;
  append_number(extra, kPaddingField);
  append_number(extra, static_cast<uint16_t>(padding));
  extra.append(padding, 'Z');
  append_number(header, static_cast<uint16_t>(extra.size()));
  put(header + name + extra);
  put({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  entries_.push_back(entry);
}

void ZipWriter::finish() {
  const uint64_t directory = position_;
  for (const Written& entry : entries_) {
    const std::string extra = zip64_field({entry.size, entry.size, entry.offset});
    std::string record;
    append_number(record, kEntrySignature);
    append_number(record, kVersion);  // made by
    append_number(record, kVersion);  // needed
    append_common(record, entry.crc, entry.size, entry.name.size());
    append_number(record, static_cast<uint16_t>(extra.size()));
    append_number(record, uint16_t{0});  // comment
    append_number(record, uint16_t{0});  // disk
    append_number(record, uint16_t{0});  // internal attributes
    append_number(record, uint32_t{0});  // external attributes
    append_number(record, fit32(entry.offset));
    put(record + entry.name + extra);
  }
  const uint64_t size = position_ - directory;
  const uint64_t count = entries_.size();

  // The zip64 records stand in every archive, as in PyTorch's.
  std::string end;
  append_number(end, kEnd64Signature);
  append_number(end, uint64_t{44});  // bytes of this record that follow
  append_number(end, kVersion);
  append_number(end, kVersion);
  append_number(end, uint32_t{0});  // this disk
  append_number(end, uint32_t{0});  // the directory's disk
  append_number(end, count);
  append_number(end, count);
  append_number(end, size);
  append_number(end, directory);

  append_number(end, kLocator64Signature);
  append_number(end, uint32_t{0});
  append_number(end, position_);
  append_number(end, uint32_t{1});  // disks

  append_number(end, kEndSignature);
  append_number(end, uint16_t{0});
  append_number(end, uint16_t{0});
  append_number(end, fit16(count));
  append_number(end, fit16(count));
  append_number(end, fit32(size));
  append_number(end, fit32(directory));
  append_number(end, uint16_t{0});  // comment
  put(end);
}

}  // namespace ttsft
