// The language model of the IndexTTS2 fixture, and the rows that upstream trained it on.
#pragma once

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "models/indextts2/objective.h"
#include "models/indextts2/weights.h"
#include "tests/support/model_fixture.h"
#include "ttsft/io/atomic_file.h"

namespace ttsft::indextts2::test {

using ttsft::test::expect_close;
using ttsft::test::expect_equal;

inline const ttsft::test::ModelFixture& fixture() {
  static const ttsft::test::ModelFixture fixture("indextts2");
  return fixture;
}

inline torch::Tensor expected(const std::string& file, const std::string& name) {
  return fixture().expected(file, name);
}

inline const nlohmann::json& expected_json(const std::string& name) {
  return fixture().expected_json(name);
}

inline const Config& fixture_config() {
  static const Config config = read_config(fixture().path("checkpoint"));
  return config;
}

inline UnifiedVoice fixture_gpt() {
  UnifiedVoice model = load_gpt(open_gpt(fixture_config().gpt_file), fixture_config().gpt,
                                /*dropout=*/0.0, torch::kCPU, torch::kFloat32);
  model->eval();
  return model;
}

inline std::vector<int64_t> to_vector(const torch::Tensor& x) {
  const torch::Tensor flat = x.to(torch::kInt64).contiguous();
  return {flat.data_ptr<int64_t>(), flat.data_ptr<int64_t>() + flat.numel()};
}

// The pairs of gpt_pairs.jsonl, in file order.
inline std::vector<SpeechSample> fixture_samples(const Objective& objective) {
  std::vector<SpeechSample> samples;
  std::ifstream in(fixture().path("expected/prep/gpt_pairs.jsonl"));
  for (std::string line; std::getline(in, line);) {
    const auto row = nlohmann::json::parse(line);
    const std::string target = row["target_id"], prompt = row["prompt_id"];
    SpeechSample sample;
    sample.id = row["id"];
    sample.text = to_vector(expected("prep", target + ".text_ids"));
    sample.codes = to_vector(expected("prep", target + ".codes"));
    sample.condition = expected("prep", prompt + ".condition");
    sample.emotion = expected("prep", prompt + ".emo_vec");
    sample.length = objective.length(sample);
    samples.push_back(sample);
  }
  return samples;
}

}  // namespace ttsft::indextts2::test
