#include "ttsft/io/json_reader.h"

#include <cmath>
#include <fstream>

#include "ttsft/core/error.h"

namespace ttsft {

nlohmann::ordered_json read_json_object(const std::filesystem::path& file) {
  std::ifstream stream(file);
  if (!stream) throw DataError("cannot read", file.string(), "is this a complete checkpoint?");
  nlohmann::ordered_json json;
  try {
    json = nlohmann::ordered_json::parse(stream);
  } catch (const nlohmann::json::exception& e) {
    throw DataError("not valid JSON", file.string(), e.what());
  }
  if (!json.is_object()) throw DataError("not a JSON object", file.string());
  return json;
}

void JsonReader::fail(const std::string& key, const std::string& what,
                      const std::string& remedy) const {
  const std::string dotted = path_.empty() ? key : path_ + "." + key;
  throw DataError(dotted + ": " + what, file_, remedy);
}

const JsonReader::Json* JsonReader::find(const std::string& key) const {
  const auto it = json_.find(key);
  return it == json_.end() || it->is_null() ? nullptr : &*it;
}

const JsonReader::Json& JsonReader::at(const std::string& key) const {
  const Json* value = find(key);
  if (!value) fail(key, "missing", "take the file from the release");
  return *value;
}

JsonReader JsonReader::section(const std::string& key) const {
  const Json& value = at(key);
  if (!value.is_object()) fail(key, "not an object");
  return JsonReader(value, file_, path_.empty() ? key : path_ + "." + key);
}

int64_t JsonReader::to_integer(const std::string& key, const Json& value) const {
  if (value.is_number_integer()) return value.get<int64_t>();
  if (value.is_number_float()) {
    const double number = value.get<double>();
    if (std::abs(number) < 1e15 && number == std::floor(number)) {
      return static_cast<int64_t>(number);
    }
  }
  fail(key, "not a whole number: " + value.dump());
}

int64_t JsonReader::integer(const std::string& key) const {
  return to_integer(key, at(key));
}

int64_t JsonReader::positive(const std::string& key) const {
  const int64_t value = integer(key);
  if (value < 1) fail(key, "must be at least 1, is " + std::to_string(value));
  return value;
}

double JsonReader::number(const std::string& key) const {
  const Json& value = at(key);
  if (!value.is_number()) fail(key, "not a number: " + value.dump());
  return value.get<double>();
}

std::string JsonReader::text(const std::string& key) const {
  const Json& value = at(key);
  if (!value.is_string()) fail(key, "not a string: " + value.dump());
  return value.get<std::string>();
}

std::vector<int64_t> JsonReader::positives(const std::string& key) const {
  const Json& value = at(key);
  if (!value.is_array() || value.empty()) fail(key, "not a list of numbers");
  std::vector<int64_t> list;
  for (const Json& item : value) {
    list.push_back(to_integer(key, item));
    if (list.back() < 1) fail(key, "holds a number below 1");
  }
  return list;
}

void JsonReader::optional(const std::string& key, int64_t& value) const {
  if (find(key)) value = positive(key);
}

void JsonReader::optional(const std::string& key, double& value) const {
  if (find(key)) value = number(key);
}

void JsonReader::optional(const std::string& key, bool& value) const {
  const Json* found = find(key);
  if (!found) return;
  if (!found->is_boolean()) fail(key, "neither true nor false: " + found->dump());
  value = found->get<bool>();
}

void JsonReader::optional(const std::string& key, std::vector<int64_t>& value) const {
  if (find(key)) value = positives(key);
}

void JsonReader::require(const std::string& key, const Json& known) const {
  const Json* value = find(key);
  if (value && *value != known) {
    fail(key, "is " + value->dump() + ", only " + known.dump() + " is supported");
  }
}

}  // namespace ttsft
