#include "ttsft/curate/review_page.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "ttsft/core/hash.h"

namespace ttsft {
namespace {

using nlohmann::ordered_json;

// The files of these names, as string literals (cmake/EmbedText.cmake).
constexpr std::string_view kPage =
#include "review_page.html.inc"
    ;
constexpr std::string_view kStyle =
#include "review_page.css.inc"
    ;
constexpr std::string_view kTableScript =
#include "review_page_table.js.inc"
    ;
constexpr std::string_view kRowsScript =
#include "review_page_rows.js.inc"
    ;
constexpr std::string_view kInputScript =
#include "review_page_input.js.inc"
    ;

size_t place_of(const std::string& column, const ReviewTable& table) {
  const auto found = std::find(table.columns.begin(), table.columns.end(), column);
  if (found == table.columns.end()) throw std::logic_error("review page: no column " + column);
  return static_cast<size_t>(found - table.columns.begin());
}

ordered_json json_of(const ReviewClip& clip) {
  return {{"id", clip.id},
          {"audio", clip.audio},
          {"text", clip.text},
          {"speaker", clip.speaker},
          {"seconds", clip.seconds},
          {"confidence", clip.confidence},  // NaN is written as null
          {"recording", clip.recording},
          {"begin", clip.begin},
          {"end", clip.end},
          {"dropped", clip.dropped},
          {"row", clip.row}};
}

std::string dump(const ordered_json& json) {
  return json.dump(-1, ' ', /*ensure_ascii=*/false, ordered_json::error_handler_t::replace);
}

std::string data_of(const ReviewTable& table) {
  ordered_json data = {{"file_name", table.file_name},
                       {"columns", table.columns},
                       {"text_column", place_of(table.text_column, table)},
                       {"speaker_column", place_of(table.speaker_column, table)},
                       {"clips", ordered_json::array()}};
  for (const ReviewClip& clip : table.clips) {
    if (clip.row.size() != table.columns.size())
      throw std::logic_error("review page: a row of another length: " + clip.id);
    data["clips"].push_back(json_of(clip));
  }
  data["key"] = hash_text(dump(data));
  return dump(data);
}

std::string replaced(std::string_view text,
                     const std::vector<std::pair<std::string_view, std::string_view>>& pairs) {
  std::string out;
  while (!text.empty()) {
    const auto pair = std::find_if(pairs.begin(), pairs.end(),
                                   [&](const auto& one) { return text.starts_with(one.first); });
    const bool found = pair != pairs.end();
    out += found ? pair->second : text.substr(0, 1);
    text.remove_prefix(found ? pair->first.size() : 1);
  }
  return out;
}

// Within JSON these stand in strings only. No end of the script block, no comment, no line end.
std::string for_script_block(const std::string& json) {
  return replaced(json,
                  {{"<", "\\u003c"}, {"\xe2\x80\xa8", "\\u2028"}, {"\xe2\x80\xa9", "\\u2029"}});
}

std::string for_html(const std::string& text) {
  const std::string valid = ordered_json::parse(dump(text)).get<std::string>();
  return replaced(valid, {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}});
}

}  // namespace

std::string review_page(const ReviewTable& table) {
  const std::string title = for_html(table.title), data = for_script_block(data_of(table));
  return replaced(kPage, {{"{{title}}", title},
                          {"{{style}}", kStyle},
                          {"{{data}}", data},
                          {"{{table}}", kTableScript},
                          {"{{rows}}", kRowsScript},
                          {"{{input}}", kInputScript}});
}

}  // namespace ttsft
