#include "pickle_writer.h"

#include <bit>

#include "little_endian.h"

namespace ttsft {

PickleWriter::PickleWriter() : bytes_("\x80\x02") {}

void PickleWriter::integer(int64_t value) {
  if (value >= 0 && value <= UINT8_MAX) {
    bytes_ += 'K';
    append_number(bytes_, static_cast<uint8_t>(value));
  } else if (value >= 0 && value <= UINT16_MAX) {
    bytes_ += 'M';
    append_number(bytes_, static_cast<uint16_t>(value));
  } else if (value >= INT32_MIN && value <= INT32_MAX) {
    bytes_ += 'J';
    append_number(bytes_, static_cast<int32_t>(value));
  } else {
    bytes_ += "\x8a\x08";
    append_number(bytes_, value);
  }
}

void PickleWriter::real(double value) {
  bytes_ += 'G';
  append_number(bytes_, __builtin_bswap64(std::bit_cast<uint64_t>(value)));
}

void PickleWriter::text(std::string_view value) {
  bytes_ += 'X';
  append_number(bytes_, static_cast<uint32_t>(value.size()));
  bytes_ += value;
}

void PickleWriter::shared_text(const std::string& value) {
  if (recall(value)) return;
  text(value);
  remember(value);
}

void PickleWriter::global(const std::string& module, const std::string& name) {
  const std::string line = "c" + module + "\n" + name + "\n";  // no text of ours reads like this
  if (recall(line)) return;
  bytes_ += line;
  remember(line);
}

std::string PickleWriter::finish() {
  return bytes_ + '.';
}

bool PickleWriter::recall(const std::string& what) {
  const auto known = memo_.find(what);
  if (known == memo_.end()) return false;
  bytes_ += 'j';
  append_number(bytes_, known->second);
  return true;
}

void PickleWriter::remember(const std::string& what) {
  const auto index = static_cast<uint32_t>(memo_.size());
  memo_.emplace(what, index);
  bytes_ += 'r';
  append_number(bytes_, index);
}

}  // namespace ttsft
