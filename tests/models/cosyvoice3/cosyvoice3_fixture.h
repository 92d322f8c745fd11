// The CosyVoice 3 fixture: a tiny release, and what upstream computed with it.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/support/model_fixture.h"
#include "ttsft/io/atomic_file.h"

namespace ttsft::cosyvoice3::test {

using ttsft::test::expect_close;
using ttsft::test::expect_equal;

inline const ttsft::test::ModelFixture& fixture() {
  static const ttsft::test::ModelFixture fixture("cosyvoice3");
  return fixture;
}

inline torch::Tensor expected(const std::string& file, const std::string& name) {
  return fixture().expected(file, name);
}

inline const nlohmann::json& expected_json(const std::string& name) {
  return fixture().expected_json(name);
}

}  // namespace ttsft::cosyvoice3::test
