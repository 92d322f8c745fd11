// The result of an evaluation as tables.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace ttsft {

// {"name", "loss", ...} of every row, best first; rows without a finite loss last.
std::vector<nlohmann::ordered_json> ranked_rows(const nlohmann::ordered_json& result);

// Columns aligned with spaces.
std::string ranking_text(const nlohmann::ordered_json& result);

// The whole report: what was measured, the ranking, losses and accuracies by codebook.
std::string report_markdown(const nlohmann::ordered_json& result);

}  // namespace ttsft
