#include "src/config/dumper.h"

#include <fmt/format.h>

#include "src/config/yaml_text.h"
#include "ttsft/core/strings.h"

namespace ttsft::config {
namespace {

constexpr size_t kCommentColumn = 36;
constexpr size_t kLineEnd = 110;

class Dumper : public Binder {
 public:
  explicit Dumper(bool comments) : comments_(comments) {}

  void field(const char* key, bool& value, const char* help) override {
    line(key, yaml_text(value), help);
  }
  void field(const char* key, int64_t& value, const char* help) override {
    line(key, yaml_text(value), help);
  }
  void field(const char* key, double& value, const char* help) override {
    line(key, yaml_text(value), help);
  }
  void field(const char* key, std::string& value, const char* help) override {
    line(key, yaml_text(value), help);
  }
  void field(const char* key, std::filesystem::path& value, const char* help) override {
    line(key, yaml_text(value), help);
  }
  void field(const char* key, std::optional<int64_t>& value, const char* help) override {
    line(key, yaml_text(value), help);
  }
  void field(const char* key, std::optional<double>& value, const char* help) override {
    line(key, yaml_text(value), help);
  }
  void field(const char* key, std::vector<double>& value, const char* help) override {
    line(key, yaml_text(value), help);
  }
  void field(const char* key, std::vector<std::string>& value, const char* help) override {
    line(key, yaml_text(value), help);
  }
  void field(const char* key, std::map<std::string, std::string>& value,
             const char* help) override {
    line(key, yaml_text(value), help);
  }
  void field(const char* key, Flexible& value, const char* help) override {
    line(key, value.dump(), help);
  }
  void choice(const char* key, std::string& value, const std::vector<std::string>& words,
              const char* help) override {
    line(key, yaml_text(value), fmt::format("{}: {}", join(words, " | "), help));
  }

  void section(const char* key, Section& section, const char* help) override {
    if (comments_ && indent_ == 0) text_ += '\n';
    line(key, "", help);
    const size_t before = text_.size();
    indent_ += 2;
    section.bind(*this);
    indent_ -= 2;
    if (text_.size() == before) text_ += fmt::format("{:{}}{{}}\n", "", indent_ + 2);
  }

  std::string text() && { return std::move(text_); }

 private:
  void line(const char* key, const std::string& value, const std::string& help) {
    const std::string margin(indent_, ' ');
    std::string written = fmt::format("{}{}:{}{}", margin, key, value.empty() ? "" : " ", value);
    if (comments_ && !help.empty()) {
      const std::string padded = fmt::format("{:<{}}", written, kCommentColumn - 2);
      if (padded.size() + 4 + help.size() <= kLineEnd) {
        written = padded + "  # " + help;
      } else {
        text_ += fmt::format("{}# {}\n", margin, help);
      }
    }
    text_ += written + "\n";
  }

  bool comments_;
  size_t indent_ = 0;
  std::string text_;
};

}  // namespace

std::string dump_section(Section& section, bool comments) {
  Dumper dumper(comments);
  section.bind(dumper);
  return std::move(dumper).text();
}

}  // namespace ttsft::config
