#include <algorithm>

#include "little_endian.h"
#include "printable.h"
#include "torch_content.h"
#include "ttsft/core/error.h"

namespace ttsft {
namespace {

// The pickle of torch/serialization.py's MAGIC_NUMBER, 0x1950a86a20f9469cfc6c.
constexpr std::string_view kMagic = "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
constexpr int64_t kVersion = 1001;

bool flag(const PickleObject& object, std::string_view key) {
  const auto* dict = object.get<PickleObject::Dict>();
  if (!dict) return false;
  return std::any_of(dict->items.begin(), dict->items.end(), [&](const auto& item) {
    const auto* name = item.first->template get<std::string>();
    const auto* value = item.second->template get<bool>();
    return name && *name == key && value && *value;
  });
}

[[noreturn]] void malformed(const std::string& reason, const std::string& where) {
  throw DataError("malformed file of torch.save: " + reason, where, "download or write it again");
}

}  // namespace

bool is_torch_stream(std::span<const std::byte> file) {
  return file.size() >= kMagic.size() &&
         std::memcmp(file.data(), kMagic.data(), kMagic.size()) == 0;
}

// Magic number, version, machine, the objects, the storages' keys: five pickles. Then for each key
// the number of values and the values.
TorchContent read_torch_stream(std::span<const std::byte> file, const std::string& where) {
  const auto body = file.subspan(kMagic.size());
  TorchContent content;
  content.machine = std::make_unique<PickleMachine>(body, where);
  PickleMachine& machine = *content.machine;
  const auto* version = machine.run().get<int64_t>();
  if (!version || *version != kVersion) malformed("its version is not 1001", where);
  if (!flag(machine.run(), "little_endian")) {
    throw DataError("written on a big-endian machine", where,
                    "load and save it again on a usual one");
  }
  content.root = &machine.run();
  const auto* keys = machine.run().get<PickleObject::List>();
  if (!keys) malformed("the list of storages is missing", where);

  auto rest = body.subspan(machine.position());
  for (const PickleObject* item : keys->items) {
    const auto* key = item->get<std::string>();
    const auto known = key ? machine.storages().find(*key) : machine.storages().end();
    if (known == machine.storages().end()) malformed("a storage that no tensor names", where);
    if (rest.size() < sizeof(int64_t))
      malformed("storage " + printable(*key) + " is cut off", where);
    const auto values = load_number<int64_t>(rest, 0);
    rest = rest.subspan(sizeof(int64_t));
    uint64_t bytes = 0;
    if (values < 0 || __builtin_mul_overflow(values, dtype_size(known->second), &bytes) ||
        bytes > rest.size()) {
      malformed("storage " + printable(*key) + " is cut off", where);
    }
    content.storages.emplace(*key, rest.first(bytes));
    rest = rest.subspan(bytes);
  }
  return content;
}

}  // namespace ttsft
