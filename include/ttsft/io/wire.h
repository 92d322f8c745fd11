// Protocol Buffers' wire format, field by field, over bytes that stay where they are: a model of
// 1 GB is looked at in its mapped file. Not Google's library: SentencePiece and LibTorch each carry
// and export a copy of their own, and a third one in the process takes the place of theirs, which
// crashes. Format: protobuf.dev/programming-guides/encoding.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ttsft {

// The fields of one message, in the order in which they lie.
class WireReader {
 public:
  explicit WireReader(std::span<const std::byte> message) : rest_(message) {}

  // The next field; false at the end. std::runtime_error: the bytes are no message.
  bool next();

  uint32_t field() const { return field_; }
  bool is_bytes() const { return kind_ == 2; }
  // Of the field: an integer, or the bits of a number of four or eight bytes.
  uint64_t number() const { return number_; }
  float as_float() const;
  std::span<const std::byte> bytes() const { return bytes_; }  // of text, bytes and messages
  std::string text() const;

 private:
  uint64_t varint();
  std::span<const std::byte> take(uint64_t count);

  std::span<const std::byte> rest_, bytes_;
  uint32_t field_ = 0, kind_ = 0;
  uint64_t number_ = 0;
};

// The integers of a packed field.
std::vector<int64_t> packed_integers(std::span<const std::byte> bytes);

// A message that is put together field by field.
class WireWriter {
 public:
  void integer(uint32_t field, uint64_t value);
  void bytes(uint32_t field, std::string_view value);
  void message(uint32_t field, const WireWriter& value) { bytes(field, value.data()); }
  void packed(uint32_t field, std::span<const int64_t> values);  // none of them: nothing
  const std::string& data() const { return data_; }

 private:
  void varint(uint64_t value);
  std::string data_;
};

}  // namespace ttsft
