#include "models/indextts2/fixture_text.h"

#include <cstring>
#include <string_view>

namespace ttsft::indextts2 {
namespace {

// Protocol buffers: what a field of each wire type looks like.
class Message {
 public:
  void number(int field, uint64_t value) {
    varint(static_cast<uint64_t>(field) << 3);
    varint(value);
  }
  void real(int field, float value) {
    varint(static_cast<uint64_t>(field) << 3 | 5);
    char bytes[sizeof value];
    std::memcpy(bytes, &value, sizeof value);
    bytes_.append(bytes, sizeof value);
  }
  void text(int field, std::string_view value) {
    varint(static_cast<uint64_t>(field) << 3 | 2);
    varint(value.size());
    bytes_ += value;
  }
  const std::string& bytes() const { return bytes_; }

 private:
  void varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>((value & 0x7f) | 0x80);
    bytes_ += static_cast<char>(value);
  }
  std::string bytes_;
};

enum PieceType { kNormal = 1, kUnknown = 2, kControl = 3 };

}  // namespace

FixtureTokenizer fixture_tokenizer(const std::vector<std::string>& more) {
  Message model;
  int64_t count = 0;
  const auto add = [&](const std::string& piece, PieceType type) {
    Message entry;
    entry.text(1, piece);
    // Pairs with a higher score are joined first: those that stand first.
    entry.real(2, type == kNormal ? -static_cast<float>(count) : 0.0F);
    entry.number(3, type);
    model.text(1, entry.bytes());
    ++count;
  };
  add("<s>", kControl);
  add("</s>", kControl);
  add("<unk>", kUnknown);
  const std::string letters = "ETAOINSHRDLUCMWFGYPBVKJXQZ", common = letters.substr(0, 12);
  for (const char a : common) {
    add(std::string("▁") + a, kNormal);
    for (const char b : common) add({a, b}, kNormal);
  }
  add("▁", kNormal);
  for (const char c : letters + ".,'-!?") add(std::string(1, c), kNormal);
  for (const std::string& piece : more) add(piece, kNormal);

  Message trainer;
  trainer.number(3, 2);   // model_type BPE
  trainer.number(40, 2);  // unk_id, bos_id, eos_id
  trainer.number(41, 0);
  trainer.number(42, 1);
  trainer.number(43, static_cast<uint64_t>(-1));  // no pad_id
  model.text(2, trainer.bytes());
  Message normalizer;
  normalizer.text(1, "identity");
  for (const int field : {3, 4, 5}) normalizer.number(field, 1);  // spaces: a prefix, "▁", no more
  model.text(3, normalizer.bytes());
  return {model.bytes(), count};
}

}  // namespace ttsft::indextts2
