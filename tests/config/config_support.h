// A run file in a folder of its own, and a small model with a section, for the tests of this area.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "ttsft/config/run_config.h"

namespace ttsft::test {

struct ToyOptions : Section {
  std::string mode = "clone", language = "auto";
  bool streaming = true;
  double dropout_text = 0.1;
  std::filesystem::path table;
  void bind(Binder& b) override;
  void validate() const override;
};

// Knows "toy", whose preset sets lora.rank 8, synth.top_k 25, train.batch_tokens 4096, and "plain",
// which adds nothing.
ModelDefaults lookup(const std::string& name);

class RunFile {
 public:
  explicit RunFile(const std::string& text);
  ~RunFile();
  RunFile(const RunFile&) = delete;
  RunFile& operator=(const RunFile&) = delete;

  const std::filesystem::path& folder() const { return folder_; }
  const std::filesystem::path& file() const { return file_; }
  RunConfig load(const std::vector<std::string>& overrides = {}) const;

 private:
  std::filesystem::path folder_, file_;
};

// What load_run says to this text, with the folder of the file left out ("run.yaml:2: ..."). Fails
// the test when it loads, or when the error is no UsageError.
std::string error_of(const std::string& text, const std::vector<std::string>& overrides = {});

}  // namespace ttsft::test
