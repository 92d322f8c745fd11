// The part of Python's pickle that torch.save needs, as a machine that executes nothing: a class or
// function that is not in torch_classes.h is refused by its name, and those that are there are data
// for us too. Opcodes: Python's pickletools.py.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "ttsft/io/tensor_file.h"

namespace ttsft {

// The memory of one or several tensors, by its name in the file. Counts are values, not bytes.
struct TorchStorage {
  DType dtype = DType::kF32;
  std::string key;
  int64_t first = 0;  // where a view begins; other than 0 in the stream form only
  int64_t size = 0;
};

struct TorchTensor {
  TorchStorage storage;
  int64_t offset = 0;  // from the storage's first value
  Shape shape, strides;
};

// One object of a pickle. Objects refer to each other as in Python: shared, maybe in a circle.
struct PickleObject {
  struct None {};
  struct LongInteger {};  // beyond int64
  struct Global {
    std::string name;  // "module.name"
  };
  struct List {
    std::vector<const PickleObject*> items;
  };
  struct Tuple {
    std::vector<const PickleObject*> items;
  };
  struct Dict {
    std::vector<std::pair<const PickleObject*, const PickleObject*>> items;
  };

  // The larger ones by pointer: a pickle has many small objects.
  std::variant<None, bool, int64_t, double, std::string, LongInteger, Global, List, Tuple, Dict,
               std::unique_ptr<TorchStorage>, std::unique_ptr<TorchTensor>>
      data;

  template <typename T>
  const T* get() const {
    return std::get_if<T>(&data);
  }
};

class PickleMachine {
 public:
  // Over bytes that hold one pickle or several, one behind the other. `where` names the file.
  PickleMachine(std::span<const std::byte> bytes, std::string where);

  // Reads one pickle. The object lives as long as the machine. DataError: malformed, cut off, too
  // large, or refused.
  const PickleObject& run();

  size_t position() const { return position_; }  // behind the last pickle
  // The storages that were named so far.
  const std::map<std::string, DType>& storages() const { return storages_; }

 private:
  bool step();  // false at the end of the pickle
  bool push_constant(uint8_t opcode);
  bool push_text(uint8_t opcode);
  bool build_container(uint8_t opcode);
  bool use_memo(uint8_t opcode);
  bool use_class(uint8_t opcode);

  template <typename T>
  T number();
  std::span<const std::byte> take(uint64_t count);
  std::string text(uint64_t size);
  std::string line();
  void push_long();

  PickleObject* make(PickleObject object);
  void push(PickleObject object) { push(make(std::move(object))); }
  void push(PickleObject* object);
  PickleObject* pop();
  PickleObject& top();
  std::vector<const PickleObject*> pop_to_mark();
  void push_tuple(size_t count);
  void set_items(const std::vector<const PickleObject*>& flat);
  void append(const std::vector<const PickleObject*>& items);
  void remember(uint32_t index);
  void reduce();
  void load_storage();
  void count_step();  // keeps a small file from filling the memory
  [[noreturn]] void malformed(const std::string& reason) const;

  std::span<const std::byte> bytes_;
  std::string where_;
  size_t position_ = 0;
  int64_t steps_ = 0;
  std::deque<PickleObject> objects_;  // addresses stay
  std::vector<PickleObject*> stack_;
  std::vector<size_t> marks_;  // how high the stack was
  std::unordered_map<uint32_t, PickleObject*> memo_;
  std::map<std::string, DType> storages_;
};

}  // namespace ttsft
