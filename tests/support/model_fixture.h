// A model's fixture under tests/fixtures/<folder>: a tiny checkpoint in the released layout, and
// what upstream computed with it.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/support/tensor_test.h"
#include "ttsft/audio/audio.h"
#include "ttsft/io/atomic_file.h"
#include "ttsft/io/safetensors.h"
#include "ttsft/nn/weights.h"

namespace ttsft::test {

class ModelFixture {
 public:
  explicit ModelFixture(const std::string& folder)
      : root_(std::filesystem::path(TTSFT_FIXTURES) / folder) {}

  std::filesystem::path path(const std::string& relative) const { return root_ / relative; }

  // A .safetensors file, opened once per process.
  std::shared_ptr<const TensorFile> file(const std::string& relative) const {
    static std::map<std::filesystem::path, std::shared_ptr<const TensorFile>> open;
    auto& reader = open[path(relative)];
    if (!reader)
      reader = std::make_shared<SafetensorsReader>(SafetensorsReader::open(path(relative)));
    return reader;
  }

  // expected/<file>.safetensors, e.g. expected("prep", "a.speech_codes").
  torch::Tensor expected(const std::string& file_name, const std::string& tensor) const {
    return copy_tensor(file("expected/" + file_name + ".safetensors")->at(tensor));
  }

  // expected/<name>.json, read once per process.
  const nlohmann::json& expected_json(const std::string& name) const {
    static std::map<std::filesystem::path, nlohmann::json> open;
    const std::filesystem::path file = path("expected/" + name + ".json");
    auto& json = open[file];
    if (json.is_null()) json = nlohmann::json::parse(read_text(file));
    return json;
  }

  // audio/<name>.wav at its own rate.
  Audio audio(const std::string& name) const {
    return decode_audio(path("audio/" + name + ".wav")).audio;
  }

 private:
  std::filesystem::path root_;
};

}  // namespace ttsft::test
