#include "ttsft/data/prepared_set.h"

#include <algorithm>
#include <span>
#include <string_view>

#include "prepared_files.h"
#include "ttsft/core/error.h"
#include "ttsft/core/hash.h"
#include "ttsft/core/log.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

[[noreturn]] void broken(const std::string& what, const fs::path& where) {
  throw DataError(what + ": the prepared set is half written or was edited", where.string(),
                  "run prep again");
}

// The rows of one file, which must be the very file that the index was written for.
std::vector<ordered_json> read_rows(const fs::path& file, const ordered_json& stated) {
  if (!fs::exists(file)) broken("a file is missing", file);
  const std::string text = read_text(file);
  if (content_hash(text) != stated.at("hash").get<std::string>()) {
    broken("the file is not the one that index.json describes", file);
  }
  std::vector<ordered_json> rows;
  for (std::string_view rest = text; !rest.empty();) {
    const size_t end = std::min(rest.find('\n'), rest.size() - 1);
    rows.push_back(ordered_json::parse(rest.substr(0, end + 1)));
    rest.remove_prefix(end + 1);
  }
  if (rows.size() != stated.at("rows").get<size_t>()) {
    broken("there are " + std::to_string(rows.size()) + " rows", file);
  }
  return rows;
}

// Gives each entry of the index its row, in order.
void assign_rows(PreparedSet& set) {
  const ordered_json& files = set.index.at("files");
  auto train = read_rows(set.folder / kTrainName, files.at(std::string(kTrainName)));
  auto validation = read_rows(set.folder / kValidationName, files.at(std::string(kValidationName)));
  std::set<std::string> ids;
  for (const ordered_json& entry : set.index.at("utterances")) {
    const std::string split = entry.at("split").get<std::string>();
    if (split != "train" && split != "validation") broken("split '" + split + "'", set.folder);
    const bool validates = split == "validation";
    auto& rows = validates ? validation : train;
    auto& out = validates ? set.validation : set.train;
    if (out.size() == rows.size()) broken("index.json lists more rows than there are", set.folder);
    PreparedRow row{entry.at("id").get<std::string>(), entry.at("key").get<std::string>(),
                    entry.at("seconds").get<double>(), std::move(rows[out.size()]),
                    entry.value("notes", ordered_json())};
    if (!ids.insert(row.id).second) broken("'" + row.id + "' is listed twice", set.folder);
    out.push_back(std::move(row));
  }
  if (set.train.size() != train.size() || set.validation.size() != validation.size()) {
    broken("index.json lists fewer rows than there are", set.folder);
  }
}

}  // namespace

std::string content_hash(std::string_view text) {
  return Hasher().add(std::as_bytes(std::span(text))).hex();
}

ordered_json read_prepared_index(const fs::path& folder, const std::string& model) {
  const fs::path file = folder / kIndexName;
  const ordered_json index = ordered_json::parse(read_text(file), nullptr, /*exceptions=*/false);
  const auto text = [&](const char* key) {
    const auto found = index.is_object() ? index.find(key) : index.end();
    return index.is_object() && found != index.end() && found->is_string()
               ? found->get<std::string>()
               : std::string();
  };
  if (text("format") != kPreparedFormat) {
    throw DataError("not the index of a prepared set", file.string(),
                    "choose another folder for data.prepared");
  }
  if (text("model") != model) {
    throw DataError("the set was prepared for " + text("model") + ", not for " + model,
                    folder.string(), "give each model its own data.prepared");
  }
  return index;
}

bool has_current_version(const ordered_json& index) {
  const auto found = index.find("version");
  return found != index.end() && found->is_number_integer() &&
         found->get<int64_t>() == kPreparedVersion;
}

PreparedSet PreparedSet::open(const fs::path& folder, const std::string& model) {
  const bool has_journal = fs::exists(folder / kJournalName);
  if (!fs::exists(folder / kIndexName)) {
    if (has_journal) {
      throw DataError("prep has not finished", folder.string(), "run prep again, it continues");
    }
    throw DataError("no prepared set", folder.string(), "run prep first");
  }
  PreparedSet set;
  set.folder = folder;
  set.index = read_prepared_index(folder, model);
  if (!has_current_version(set.index)) {
    throw DataError("the set was prepared by another version of ttsft", folder.string(),
                    "run prep again");
  }
  try {
    assign_rows(set);
  } catch (const nlohmann::json::exception& error) {
    broken(std::string("index.json or a row cannot be read (") + error.what() + ")", folder);
  }
  if (has_journal) {
    log_warning("a later prep into ", folder.string(),
                " has not finished: the set before it is read; run prep again to renew it");
  }
  return set;
}

std::vector<PreparedRow> PreparedSet::all() const {
  std::vector<PreparedRow> rows;
  size_t next_train = 0, next_validation = 0;
  for (const ordered_json& entry : index.at("utterances")) {
    const bool validates = entry.at("split") == "validation";
    rows.push_back(validates ? validation.at(next_validation++) : train.at(next_train++));
  }
  return rows;
}

}  // namespace ttsft
