// The Fish S2 Pro fixture: a tiny release, and what upstream computed with it.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/support/model_fixture.h"
#include "ttsft/io/atomic_file.h"

namespace ttsft::fish_s2_pro::test {

using ttsft::test::expect_close;
using ttsft::test::expect_equal;

inline const ttsft::test::ModelFixture& fixture() {
  static const ttsft::test::ModelFixture fixture("fish_s2_pro");
  return fixture;
}

inline torch::Tensor expected(const std::string& file, const std::string& name) {
  return fixture().expected(file, name);
}

inline const nlohmann::json& expected_json(const std::string& name) {
  return fixture().expected_json(name);
}

// The codes of a clip (a, b, c or ref) as upstream encoded it, [F, 10].
inline torch::Tensor clip_codes(const std::string& id) {
  return expected("prep", "codes." + id).t().contiguous();
}

}  // namespace ttsft::fish_s2_pro::test
