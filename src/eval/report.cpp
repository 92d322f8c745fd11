#include "report.h"

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "ttsft/core/strings.h"

namespace ttsft {
namespace {

using Json = nlohmann::ordered_json;
using Table = std::vector<std::vector<std::string>>;  // the first row is the head

std::string number(const Json& value, const char* format) {
  if (!value.is_number()) return "-";
  char text[64];
  std::snprintf(text, sizeof text, format, value.get<double>());
  return text;
}

std::string percent(const Json& value) {
  return value.is_number() ? number(value.get<double>() * 100, "%.1f%%") : "-";
}

Table ranking(const Json& result) {
  const std::vector<Json> rows = ranked_rows(result);
  const Json& base = result.at("checkpoints").at(0);
  const auto scored = [&](const std::string& term) { return base.at("accuracy").contains(term); };
  Table table = {{"rank", "checkpoint", "loss", "to base", "±"}};
  for (const auto& [term, value] : base.at("loss_terms").items()) {
    table[0].push_back(term);
    if (scored(term)) table[0].push_back(term + " acc");
  }
  table[0].emplace_back("tokens");
  for (size_t i = 0; i < rows.size(); ++i) {
    const Json& row = rows[i];
    const bool is_base = row.at("name") == base.at("name");
    std::string delta = "base";
    if (!is_base) {
      const bool both = row.at("loss").is_number() && base.at("loss").is_number();
      delta = both ? number(row.at("loss").get<double>() - base.at("loss").get<double>(), "%+.4f")
                   : "-";
    }
    table.push_back({std::to_string(i + 1), row.at("name").get<std::string>(),
                     number(row.at("loss"), "%.4f"), delta,
                     is_base ? "" : number(row.at("to_base_error"), "%.4f")});
    for (const auto& [term, value] : base.at("loss_terms").items()) {
      table.back().push_back(number(row.at("loss_terms").value(term, Json()), "%.4f"));
      if (scored(term)) table.back().push_back(percent(row.at("accuracy").value(term, Json())));
    }
    table.back().push_back(std::to_string(row.at("tokens").get<int64_t>()));
  }
  return table;
}

std::string markdown(const Table& table) {
  std::string text;
  for (size_t r = 0; r < table.size(); ++r) {
    for (const std::string& cell : table[r]) text += "| " + cell + " ";
    text += "|\n";
    if (r > 0) continue;
    for (size_t c = 0; c < table[r].size(); ++c) text += c == 1 ? "|---" : "|---:";
    text += "|\n";
  }
  return text;
}

// Padded to the widest cell of each column; the name stands left.
std::string aligned(const Table& table) {
  std::vector<size_t> widths(table[0].size(), 0);
  const auto width = [](const std::string& cell) {
    return static_cast<size_t>(
        std::count_if(cell.begin(), cell.end(), [](char c) { return (c & 0xC0) != 0x80; }));
  };
  for (const auto& row : table) {
    for (size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], width(row[c]));
  }
  std::string text;
  for (const auto& row : table) {
    std::string line;
    for (size_t c = 0; c < row.size(); ++c) {
      const std::string space(widths[c] - width(row[c]), ' ');
      line += (c == 1 ? row[c] + space : space + row[c]) + "  ";
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

// A row per checkpoint, a column per codebook.
Table codebook_table(const Json& result, const std::string& term, const char* what) {
  Table table = {{"rank", "checkpoint"}};
  const std::vector<Json> rows = ranked_rows(result);
  for (size_t i = 0; i < rows.size(); ++i) {
    const Json& values = rows[i].at("codebooks").at(term).at(what);
    for (size_t c = table[0].size() - 2; c < values.size(); ++c) {
      table[0].push_back(std::to_string(c + 1));
    }
    table.push_back({std::to_string(i + 1), rows[i].at("name").get<std::string>()});
    for (const Json& value : values) {
      table.back().push_back(std::string(what) == "loss" ? number(value, "%.3f") : percent(value));
    }
  }
  return table;
}

// How far the clips can rank at all.
std::string certainty(const Json& result) {
  const auto clips = result.at("clips").get<int64_t>();
  std::string text = "ranked by " + std::to_string(clips) + (clips == 1 ? " clip" : " clips");
  if (clips == 1) return text + ": chance decides, hold back more (data.validation)";
  text += "; ± is one standard error over them";
  std::vector<std::string> ties;
  for (const Json& row : result.at("checkpoints"))
    if (row.value("ties_with_best", false)) ties.push_back(row.at("name").get<std::string>());
  if (!ties.empty()) text += "; they cannot tell from the best: " + join(ties, ", ");
  return text;
}

// A row per checkpoint, a column per speaker; empty for one speaker.
Table speaker_table(const Json& result) {
  Table table = {{"rank", "checkpoint"}};
  const Json& speakers = result.at("checkpoints").at(0).at("speakers");
  if (speakers.size() < 2) return {};
  for (const auto& [name, entry] : speakers.items())
    table[0].push_back((name.empty() ? "(no name)" : name) + " (" +
                       std::to_string(entry.at("clips").get<int64_t>()) + ")");
  const std::vector<Json> rows = ranked_rows(result);
  for (size_t i = 0; i < rows.size(); ++i) {
    table.push_back({std::to_string(i + 1), rows[i].at("name").get<std::string>()});
    for (const auto& [name, entry] : rows[i].at("speakers").items())
      table.back().push_back(number(entry.at("loss"), "%.4f"));
  }
  return table;
}

std::string summary(const Json& result) {
  const Json& base = result.at("checkpoints").at(0);
  return "split " + result.at("split").get<std::string>() + ": " +
         std::to_string(base.at("utterances").size()) + " utterances, " +
         std::to_string(base.at("tokens").get<int64_t>()) + " supervised tokens, " +
         result.at("precision").get<std::string>() + " on " +
         result.at("device").get<std::string>() + "; " + certainty(result);
}

}  // namespace

std::vector<Json> ranked_rows(const Json& result) {
  std::vector<Json> rows(result.at("checkpoints").begin(), result.at("checkpoints").end());
  std::stable_sort(rows.begin(), rows.end(), [](const Json& a, const Json& b) {
    const bool a_finite = a.at("loss").is_number(), b_finite = b.at("loss").is_number();
    if (a_finite != b_finite) return a_finite;
    return a_finite && a.at("loss").get<double>() < b.at("loss").get<double>();
  });
  return rows;
}

std::string ranking_text(const Json& result) {
  std::string text = aligned(ranking(result));
  if (const Table speakers = speaker_table(result); !speakers.empty())
    text += "\nloss by speaker (clips)\n" + aligned(speakers) + "\n";
  return text + summary(result) + "\n";
}

std::string report_markdown(const Json& result) {
  std::string text = "# Evaluation of " + result.at("model").get<std::string>() + "\n\n";
  text += summary(result) + ". Best: " +
          (result.at("best").is_null() ? "none" : result.at("best").get<std::string>()) + ".\n\n";
  text +=
      "The loss is teacher-forced cross entropy in nats: each term's mean over its tokens, then "
      "the "
      "weighted sum. A low loss is no proof of a good voice: listen to the candidates.\n\n";
  text += markdown(ranking(result));
  if (const Table speakers = speaker_table(result); !speakers.empty())
    text += "\n## Loss by speaker (clips)\n\n" + markdown(speakers);
  const Json& base = result.at("checkpoints").at(0);
  for (const auto& [term, codebooks] : base.at("codebooks").items()) {
    for (const char* what : {"loss", "accuracy"}) {
      if (!codebooks.contains(what)) continue;
      text += "\n## " + term + ", " + what + " by codebook\n\n";
      text += markdown(codebook_table(result, term, what));
    }
  }
  return text;
}

}  // namespace ttsft
