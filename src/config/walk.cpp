#include "src/config/walk.h"

#include <fmt/format.h>

#include <algorithm>

#include "ttsft/core/error.h"
#include "ttsft/core/strings.h"

namespace ttsft::config {
namespace {

// Visits every key once; fields are all alike here.
class Walker : public Binder {
 public:
  void field(const char* key, bool&, const char*) override { leaf(key); }
  void field(const char* key, int64_t&, const char*) override { leaf(key); }
  void field(const char* key, double&, const char*) override { leaf(key); }
  void field(const char* key, std::string&, const char*) override { leaf(key); }
  void field(const char* key, std::filesystem::path&, const char*) override { leaf(key); }
  void field(const char* key, std::optional<int64_t>&, const char*) override { leaf(key); }
  void field(const char* key, std::optional<double>&, const char*) override { leaf(key); }
  void field(const char* key, std::vector<double>&, const char*) override { leaf(key); }
  void field(const char* key, std::vector<std::string>&, const char*) override { leaf(key); }
  void field(const char* key, std::map<std::string, std::string>&, const char*) override {
    leaf(key);
  }
  void field(const char* key, Flexible&, const char*) override { leaf(key); }
  void choice(const char* key, std::string&, const std::vector<std::string>&,
              const char*) override {
    leaf(key);
  }

 protected:
  virtual void leaf(const char* key) = 0;
  std::string dotted(const std::string& key) const { return prefix_ + key; }

  void enter(const char* key, Section& section) {
    const std::string outer = prefix_;
    prefix_ += std::string(key) + ".";
    section.bind(*this);
    prefix_ = outer;
  }

 private:
  std::string prefix_;
};

class KeyCollector : public Walker {
 public:
  void section(const char* key, Section& section, const char*) override {
    leaf(key);
    enter(key, section);
  }
  std::vector<std::string> keys;

 protected:
  void leaf(const char* key) override { keys.push_back(dotted(key)); }
};

// "learning_rate: must be ..." does; a sentence about the section as a whole does not.
bool begins_with_key(Section& section, const std::string& message) {
  const std::vector<std::string> keys = dotted_keys(section);
  const std::string word = message.substr(0, message.find_first_of(".: "));
  return std::find(keys.begin(), keys.end(), word) != keys.end();
}

class Validator : public Walker {
 public:
  void choice(const char* key, std::string& value, const std::vector<std::string>& words,
              const char*) override {
    if (std::find(words.begin(), words.end(), value) != words.end()) return;
    const std::string near = nearest(value, words);
    throw UsageError(
        fmt::format("{}: wants one of {}, got `{}`", dotted(key), join(words, ", "), value), "",
        near.empty() ? "" : fmt::format("did you mean {}?", near));
  }
  void section(const char* key, Section& section, const char*) override {
    enter(key, section);
    try {
      section.validate();
    } catch (const UsageError& e) {
      throw UsageError(dotted(key) + (begins_with_key(section, e.what()) ? "." : ": ") + e.what());
    }
  }

 protected:
  void leaf(const char*) override {}
};

}  // namespace

std::vector<std::string> dotted_keys(Section& section) {
  KeyCollector collector;
  section.bind(collector);
  return collector.keys;
}

void validate_below(Section& section) {
  Validator validator;
  section.bind(validator);
}

}  // namespace ttsft::config
