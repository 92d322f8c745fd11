#include "pickle.h"

#include <algorithm>
#include <bit>

#include "little_endian.h"
#include "printable.h"
#include "torch_classes.h"
#include "ttsft/core/error.h"

namespace ttsft {
namespace {

// Of Python's pickletools.py, those that torch.save writes with any protocol.
enum Opcode : uint8_t {
  kMark = '(',
  kStop = '.',
  kNone = 'N',
  kBinInt = 'J',
  kBinInt1 = 'K',
  kBinInt2 = 'M',
  kBinFloat = 'G',
  kBinString = 'T',
  kShortBinString = 'U',
  kBinUnicode = 'X',
  kAppend = 'a',
  kAppends = 'e',
  kSetItem = 's',
  kSetItems = 'u',
  kTuple = 't',
  kEmptyTuple = ')',
  kEmptyList = ']',
  kEmptyDict = '}',
  kBinGet = 'h',
  kLongBinGet = 'j',
  kBinPut = 'q',
  kLongBinPut = 'r',
  kGlobal = 'c',
  kInstance = 'i',
  kReduce = 'R',
  kBuild = 'b',
  kBinPersistentId = 'Q',
  kProtocol = 0x80,
  kTuple1 = 0x85,
  kTuple2 = 0x86,
  kTuple3 = 0x87,
  kNewTrue = 0x88,
  kNewFalse = 0x89,
  kLong1 = 0x8a,
  kShortBinUnicode = 0x8c,
  kBinUnicode8 = 0x8d,
  kStackGlobal = 0x93,
  kMemoize = 0x94,
  kFrame = 0x95,
};

constexpr int64_t kMaxSteps = 2'000'000;  // a checkpoint has some ten thousand
constexpr uint8_t kMaxProtocol = 5;

}  // namespace

PickleMachine::PickleMachine(std::span<const std::byte> bytes, std::string where)
    : bytes_(bytes), where_(std::move(where)) {}

void PickleMachine::malformed(const std::string& reason) const {
  throw DataError("malformed pickle: " + reason + ", at byte " + std::to_string(position_), where_,
                  "download or write it again");
}

void PickleMachine::count_step() {
  if (++steps_ > kMaxSteps) {
    throw DataError("the pickle holds more than " + std::to_string(kMaxSteps) + " objects", where_,
                    "is this a file of weights?");
  }
}

const PickleObject& PickleMachine::run() {
  stack_.clear();
  marks_.clear();
  memo_.clear();
  while (step()) {
  }
  if (stack_.size() != 1 || !marks_.empty()) malformed("it ends with objects left over");
  return *stack_.front();
}

bool PickleMachine::step() {
  const auto opcode = number<uint8_t>();
  if (opcode == kStop) return false;
  if (push_constant(opcode) || push_text(opcode) || build_container(opcode) || use_memo(opcode) ||
      use_class(opcode)) {
    return true;
  }
  if (opcode == kProtocol) {
    const auto protocol = number<uint8_t>();
    if (protocol > kMaxProtocol) malformed("protocol " + std::to_string(protocol));
    return true;
  }
  if (opcode == kFrame) {
    number<uint64_t>();  // a hint for readers of streams
    return true;
  }
  malformed("operation " + std::to_string(opcode) +
            " builds nothing of what a file of weights is made of");
}

bool PickleMachine::push_constant(uint8_t opcode) {
  switch (opcode) {
    case kNone:
      push({PickleObject::None{}});
      return true;
    case kNewTrue:
      push({true});
      return true;
    case kNewFalse:
      push({false});
      return true;
    case kBinInt:
      push({int64_t{number<int32_t>()}});
      return true;
    case kBinInt1:
      push({int64_t{number<uint8_t>()}});
      return true;
    case kBinInt2:
      push({int64_t{number<uint16_t>()}});
      return true;
    case kLong1:
      push_long();
      return true;
    case kBinFloat:  // the one big-endian number
      push({std::bit_cast<double>(__builtin_bswap64(number<uint64_t>()))});
      return true;
    default:
      return false;
  }
}

// Two's complement of any length.
void PickleMachine::push_long() {
  const auto bytes = take(number<uint8_t>());
  if (bytes.size() > sizeof(int64_t)) return push({PickleObject::LongInteger{}});
  const bool negative = !bytes.empty() && (bytes.back() & std::byte{0x80}) != std::byte{0};
  int64_t value = negative ? -1 : 0;
  std::copy(bytes.begin(), bytes.end(), reinterpret_cast<std::byte*>(&value));
  push({value});
}

bool PickleMachine::push_text(uint8_t opcode) {
  switch (opcode) {
    case kShortBinUnicode:
    case kShortBinString:
      push({text(number<uint8_t>())});
      return true;
    case kBinUnicode:
    case kBinString:
      push({text(number<uint32_t>())});
      return true;
    case kBinUnicode8:
      push({text(number<uint64_t>())});
      return true;
    default:
      return false;
  }
}

bool PickleMachine::build_container(uint8_t opcode) {
  switch (opcode) {
    case kMark:
      count_step();
      marks_.push_back(stack_.size());
      return true;
    case kEmptyTuple:
      push_tuple(0);
      return true;
    case kTuple1:
      push_tuple(1);
      return true;
    case kTuple2:
      push_tuple(2);
      return true;
    case kTuple3:
      push_tuple(3);
      return true;
    case kTuple:
      push({PickleObject::Tuple{pop_to_mark()}});
      return true;
    case kEmptyList:
      push({PickleObject::List{}});
      return true;
    case kEmptyDict:
      push({PickleObject::Dict{}});
      return true;
    case kAppend:
      append({pop()});
      return true;
    case kAppends:
      append(pop_to_mark());
      return true;
    case kSetItems:
      set_items(pop_to_mark());
      return true;
    case kSetItem: {
      const PickleObject* value = pop();
      const PickleObject* key = pop();
      set_items({key, value});
      return true;
    }
    default:
      return false;
  }
}

bool PickleMachine::use_memo(uint8_t opcode) {
  uint32_t index = 0;
  switch (opcode) {
    case kBinPut:
      remember(number<uint8_t>());
      return true;
    case kLongBinPut:
      remember(number<uint32_t>());
      return true;
    case kMemoize:
      remember(static_cast<uint32_t>(memo_.size()));
      return true;
    case kBinGet:
      index = number<uint8_t>();
      break;
    case kLongBinGet:
      index = number<uint32_t>();
      break;
    default:
      return false;
  }
  const auto found = memo_.find(index);
  if (found == memo_.end()) malformed("object " + std::to_string(index) + " is not there");
  push(found->second);
  return true;
}

bool PickleMachine::use_class(uint8_t opcode) {
  switch (opcode) {
    case kGlobal:
    case kInstance: {
      const std::string module = line();
      const std::string name = module + "." + line();
      require_torch_class(name, where_);
      if (opcode == kInstance) malformed("an instance of " + name);
      push({PickleObject::Global{name}});
      return true;
    }
    case kStackGlobal: {
      const PickleObject* name = pop();
      const PickleObject* module = pop();
      if (!name->get<std::string>() || !module->get<std::string>())
        malformed("a class without name");
      const std::string full = *module->get<std::string>() + "." + *name->get<std::string>();
      require_torch_class(full, where_);
      push({PickleObject::Global{full}});
      return true;
    }
    case kReduce:
      reduce();
      return true;
    case kBuild:
      // Attributes of an OrderedDict: a state_dict notes the versions of its modules there.
      pop();
      if (!top().get<PickleObject::Dict>()) malformed("attributes of what has none");
      return true;
    case kBinPersistentId:
      load_storage();
      return true;
    default:
      return false;
  }
}

void PickleMachine::reduce() {
  const PickleObject* arguments = pop();
  const PickleObject* callee = pop();
  if (!callee->get<PickleObject::Global>() || !arguments->get<PickleObject::Tuple>()) {
    malformed("a call of what is no class");
  }
  push(make_torch_object(callee->get<PickleObject::Global>()->name,
                         *arguments->get<PickleObject::Tuple>(), where_));
}

void PickleMachine::load_storage() {
  TorchStorage storage = torch_storage(*pop(), where_);
  const auto [known, is_new] = storages_.emplace(storage.key, storage.dtype);
  if (!is_new && known->second != storage.dtype) {
    malformed("storage " + printable(storage.key) + " has two data types");
  }
  push({std::make_unique<TorchStorage>(std::move(storage))});
}

template <typename T>
T PickleMachine::number() {
  return load_number<T>(take(sizeof(T)), 0);
}

std::span<const std::byte> PickleMachine::take(uint64_t count) {
  if (count > bytes_.size() - position_) malformed("it is cut off");
  const auto taken = bytes_.subspan(position_, count);
  position_ += count;
  return taken;
}

std::string PickleMachine::text(uint64_t size) {
  const auto bytes = take(size);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string PickleMachine::line() {
  const auto rest = bytes_.subspan(position_);
  const auto end = std::find(rest.begin(), rest.end(), std::byte{'\n'});
  if (end == rest.end()) malformed("it is cut off");
  std::string found = text(static_cast<uint64_t>(end - rest.begin()));
  ++position_;
  return found;
}

PickleObject* PickleMachine::make(PickleObject object) {
  objects_.push_back(std::move(object));
  return &objects_.back();
}

void PickleMachine::push(PickleObject* object) {
  count_step();
  stack_.push_back(object);
}

PickleObject& PickleMachine::top() {
  if (stack_.size() <= (marks_.empty() ? 0 : marks_.back())) malformed("an object is missing");
  return *stack_.back();
}

PickleObject* PickleMachine::pop() {
  PickleObject* object = &top();
  stack_.pop_back();
  return object;
}

std::vector<const PickleObject*> PickleMachine::pop_to_mark() {
  if (marks_.empty()) malformed("a mark is missing");
  const auto first = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
  std::vector<const PickleObject*> items(first, stack_.end());
  stack_.erase(first, stack_.end());
  marks_.pop_back();
  return items;
}

void PickleMachine::push_tuple(size_t count) {
  PickleObject::Tuple tuple;
  for (size_t i = 0; i < count; ++i) tuple.items.push_back(pop());
  std::reverse(tuple.items.begin(), tuple.items.end());
  push({std::move(tuple)});
}

void PickleMachine::append(const std::vector<const PickleObject*>& items) {
  auto* list = std::get_if<PickleObject::List>(&top().data);
  if (!list) malformed("an item for what is no list");
  list->items.insert(list->items.end(), items.begin(), items.end());
}

void PickleMachine::set_items(const std::vector<const PickleObject*>& flat) {
  auto* dict = std::get_if<PickleObject::Dict>(&top().data);
  if (!dict) malformed("an entry for what is no dict");
  if (flat.size() % 2 != 0) malformed("a key without a value");
  for (size_t i = 0; i < flat.size(); i += 2) dict->items.emplace_back(flat[i], flat[i + 1]);
}

void PickleMachine::remember(uint32_t index) {
  count_step();
  memo_[index] = &top();
}

}  // namespace ttsft
