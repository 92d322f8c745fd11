#include "tokenizer_json.h"

#include "ttsft/core/error.h"

namespace ttsft {
namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

bool is_off(const Json& value) {
  return value.is_null() || value == false || value == 0.0 || value == "";
}

// What a name asks for, as short as the file says it: its type where it has one.
std::string spelled(const Json& value) {
  const Json& type = value.is_object() ? tokenizer_member(value, "type") : value;
  return (type.is_null() ? value : type).dump();
}

}  // namespace

const Json& tokenizer_member(const Json& object, const char* name) {
  static const Json kNull;
  const auto it = object.find(name);
  return it == object.end() ? kNull : *it;
}

void refuse_tokenizer(const std::string& part, const Json& value, const fs::path& file) {
  throw DataError("the tokenizer's " + part + " is " + spelled(value) + ", which is not supported",
                  file.string(), "use the tokenizer.json of the model's release");
}

void require_off(const Json& object, std::initializer_list<const char*> names,
                 const fs::path& file) {
  for (const char* name : names) {
    const Json& value = tokenizer_member(object, name);
    if (!is_off(value)) refuse_tokenizer(name, value, file);
  }
}

const Json& bpe_model(const Json& tokenizer, const fs::path& file) {
  const Json& model = tokenizer_member(tokenizer, "model");
  if (!model.is_object()) refuse_tokenizer("model", model, file);
  const Json& type = tokenizer_member(model, "type");  // absent in files of old versions
  if (!type.is_null() && type != "BPE") refuse_tokenizer("model", model, file);
  const Json& vocabulary = tokenizer_member(model, "vocab");
  if (!vocabulary.is_object()) refuse_tokenizer("vocab", vocabulary, file);
  return model;
}

void read_merge_list(const Json& list, const Vocabulary& vocabulary, BpeMerges& merges,
                     const fs::path& file) {
  if (!list.is_array()) refuse_tokenizer("list of merges", list, file);
  merges.reserve(list.size());
  int32_t rank = 0;
  for (const Json& entry : list) {
    const auto bad = [&](const std::string& what) {
      return DataError("merge " + std::to_string(rank) + " " + what + ": " + entry.dump(),
                       file.string(), "copy the file again from the release");
    };
    std::string left, right;
    if (entry.is_array() && entry.size() == 2 && entry[0].is_string() && entry[1].is_string()) {
      left = entry[0].get<std::string>();
      right = entry[1].get<std::string>();
    } else if (entry.is_string()) {
      const auto& pair = entry.get_ref<const std::string&>();
      const size_t space = pair.find(' ');
      if (space == std::string::npos || pair.find(' ', space + 1) != std::string::npos) {
        throw bad("is not two symbols");
      }
      left = pair.substr(0, space);
      right = pair.substr(space + 1);
    } else {
      throw bad("is not two symbols");
    }
    const int64_t a = vocabulary.id(left), b = vocabulary.id(right);
    const int64_t both = vocabulary.id(left + right);
    if (a < 0 || b < 0 || both < 0) throw bad("names a symbol that is not in the vocabulary");
    merges.add(int32_t(a), int32_t(b), rank++, int32_t(both));
  }
}

}  // namespace ttsft
