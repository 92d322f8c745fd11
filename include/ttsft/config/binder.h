// Typed configuration: each section is a plain struct with defaults and one bind() that names its
// fields. The same bind() reads YAML, checks types, lists the known keys and writes the commented
// dump.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace ttsft {

class Binder;

// A part of the run file. Derived structs hold the fields with their defaults.
struct Section {
  virtual ~Section() = default;
  virtual void bind(Binder& b) = 0;  // every key, in the order of the dump
  // Ranges and combinations of this section's own keys, not of sections below. Throws UsageError
  // whose text begins with the key as this section calls it ("learning_rate: must be above 0, is
  // -1.0"); the path is put before it.
  virtual void validate() const {}
};

// What a field may be. Paths are resolved against the run file's folder when they are read from it.
// An std::optional field accepts null; a choice field lists its words.
class Binder {
 public:
  virtual ~Binder() = default;
  virtual void field(const char* key, bool& value, const char* help) = 0;
  virtual void field(const char* key, int64_t& value, const char* help) = 0;
  virtual void field(const char* key, double& value, const char* help) = 0;
  virtual void field(const char* key, std::string& value, const char* help) = 0;
  virtual void field(const char* key, std::filesystem::path& value, const char* help) = 0;
  virtual void field(const char* key, std::optional<int64_t>& value, const char* help) = 0;
  virtual void field(const char* key, std::optional<double>& value, const char* help) = 0;
  virtual void field(const char* key, std::vector<double>& value, const char* help) = 0;
  virtual void field(const char* key, std::vector<std::string>& value, const char* help) = 0;
  virtual void field(const char* key, std::map<std::string, std::string>& value,
                     const char* help) = 0;
  virtual void choice(const char* key, std::string& value, const std::vector<std::string>& words,
                      const char* help) = 0;
  virtual void section(const char* key, Section& section, const char* help) = 0;

  // A field that YAML may write in several ways; one of the three parse functions is called. They
  // throw std::invalid_argument with the reason, and relative paths are resolved afterwards.
  struct Flexible {
    virtual ~Flexible() = default;
    virtual void parse_scalar(const std::string& text) = 0;
    virtual void parse_list(const std::vector<std::string>& items) = 0;
    virtual void parse_map(const std::map<std::string, std::string>& items) = 0;
    virtual bool parse_null() { return false; }  // whether it may be empty, which it then is
    virtual std::string dump() const = 0;        // YAML flow text
    virtual void resolve_paths(const std::filesystem::path& /*folder*/) {}
  };
  virtual void field(const char* key, Flexible& value, const char* help) = 0;
};

}  // namespace ttsft
