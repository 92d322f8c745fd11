// Reading of JSON configuration files that other tools wrote: every error names file and key.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace ttsft {

// The object in a JSON file. DataError when it cannot be read or is not a JSON object.
nlohmann::ordered_json read_json_object(const std::filesystem::path& file);

// One JSON object with its place in the file. Every accessor throws DataError: key missing (null
// counts as missing), wrong type, out of range. The object must outlive the reader.
class JsonReader {
 public:
  using Json = nlohmann::ordered_json;

  JsonReader(const Json& json, std::string file, std::string path = {})
      : json_(json), file_(std::move(file)), path_(std::move(path)) {}

  const Json* find(const std::string& key) const;  // nullptr when absent or null
  const Json& at(const std::string& key) const;
  JsonReader section(const std::string& key) const;  // an object below this one

  int64_t integer(const std::string& key) const;  // 24000.0 counts as whole
  int64_t positive(const std::string& key) const;
  double number(const std::string& key) const;
  std::string text(const std::string& key) const;
  std::vector<int64_t> positives(const std::string& key) const;  // a list that is not empty

  // Leaves the value as it is where the key is missing.
  void optional(const std::string& key, int64_t& value) const;  // at least 1
  void optional(const std::string& key, double& value) const;
  void optional(const std::string& key, bool& value) const;
  void optional(const std::string& key, std::vector<int64_t>& value) const;

  // For keys of which the code knows one value: absent, or exactly that.
  void require(const std::string& key, const Json& known) const;

  [[noreturn]] void fail(const std::string& key, const std::string& what,
                         const std::string& remedy = {}) const;

 private:
  int64_t to_integer(const std::string& key, const Json& value) const;

  const Json& json_;
  std::string file_, path_;
};

}  // namespace ttsft
