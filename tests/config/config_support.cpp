#include "config/config_support.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "ttsft/core/error.h"

namespace ttsft::test {

namespace fs = std::filesystem;

void ToyOptions::bind(Binder& b) {
  b.choice("mode", mode, {"clone", "icl"}, "how the voice is given");
  b.field("language", language, "of the text");
  b.field("streaming", streaming, "text while it is spoken");
  b.field("dropout_text", dropout_text, "share of texts left out");
  b.field("table", table, "word list");
}

void ToyOptions::validate() const {
  if (mode == "icl" && table == "/none") throw UsageError("icl wants a table");
  if (dropout_text > 1) throw UsageError("dropout_text: must be at most 1");
}

ModelDefaults lookup(const std::string& name) {
  if (name == "plain") return {};
  if (name != "toy") throw UsageError("unknown model " + name, "", "did you mean toy?");
  ModelDefaults defaults;
  defaults.options = std::make_shared<ToyOptions>();
  defaults.preset = [](RunConfig& config) {
    config.lora.rank = 8;
    config.synth.top_k = 25;
    config.train.batch_tokens = 4096;
  };
  return defaults;
}

RunFile::RunFile(const std::string& text) {
  static int count = 0;
  folder_ = fs::path(::testing::TempDir()) /
            ("ttsft_config_" + std::to_string(getpid()) + "_" + std::to_string(++count));
  fs::create_directories(folder_);
  file_ = folder_ / "run.yaml";
  std::ofstream(file_) << text;
}

RunFile::~RunFile() {
  fs::remove_all(folder_);
}

RunConfig RunFile::load(const std::vector<std::string>& overrides) const {
  return load_run(file_, overrides, lookup);
}

std::string error_of(const std::string& text, const std::vector<std::string>& overrides) {
  const RunFile run(text);
  std::string message;
  try {
    run.load(overrides);
    ADD_FAILURE() << "loads: " << text;
  } catch (const UsageError& e) {
    message = e.what();
  }
  const std::string folder = run.folder().string() + "/";
  for (size_t at = message.find(folder); at != std::string::npos; at = message.find(folder)) {
    message.erase(at, folder.size());
  }
  return message;
}

}  // namespace ttsft::test
