// The Voxtral fixture: a tiny release with an encoder, and what upstream computed with it.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "models/voxtral/codec.h"
#include "models/voxtral/modules.h"
#include "models/voxtral/text.h"
#include "tests/support/model_fixture.h"

namespace ttsft::voxtral::test {

using ttsft::test::expect_close;
using ttsft::test::expect_equal;

inline const ttsft::test::ModelFixture& fixture() {
  static const ttsft::test::ModelFixture fixture("voxtral");
  return fixture;
}

inline std::filesystem::path checkpoint() {
  return fixture().path("checkpoint");
}

inline torch::Tensor expected(const std::string& file, const std::string& name) {
  return fixture().expected(file, name);
}

inline const nlohmann::json& expected_json(const std::string& name) {
  return fixture().expected_json(name);
}

// Within a share of the largest value, as the fixture's README has it.
inline void expect_near_peak(const torch::Tensor& actual, const torch::Tensor& wanted,
                             const std::string& what, double share = 2e-5) {
  expect_close(actual, wanted, share * wanted.abs().max().item<double>(), what);
}

inline torch::Tensor clip_codes(const std::string& id) {
  return expected("prep", id + ".codes").to(torch::kInt64);
}

inline torch::Tensor clip_wave(const std::string& id) {
  return torch::tensor(fixture().audio(id).samples);
}

inline std::string clip_text(const std::string& id) {
  static const std::map<std::string, std::string> texts = [] {
    std::map<std::string, std::string> all;
    std::istringstream lines(read_text(fixture().path("expected/prep.jsonl")));
    for (std::string line; std::getline(lines, line);) {
      const auto row = nlohmann::json::parse(line);
      all[row["id"]] = row["text"];
    }
    return all;
  }();
  return texts.at(id);
}

inline Lm loaded_lm() {
  Lm lm = load_lm(checkpoint(), read_config(checkpoint()), torch::kCPU, torch::kFloat32);
  lm->eval();
  return lm;
}

inline Codec loaded_codec() {
  return load_codec(checkpoint(), read_config(checkpoint()).codec, torch::kCPU);
}

}  // namespace ttsft::voxtral::test
