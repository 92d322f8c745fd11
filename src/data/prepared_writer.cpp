#include <algorithm>
#include <span>
#include <string_view>

#include "prepared_files.h"
#include "ttsft/core/error.h"
#include "ttsft/core/hash.h"
#include "ttsft/core/log.h"
#include "ttsft/data/prepared_set.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

// One line of JSON, UTF-8 kept. Text that is not UTF-8 cannot be stored.
std::string json_line(const ordered_json& value, const std::string& id) {
  try {
    return value.dump() + "\n";
  } catch (const ordered_json::exception&) {
    throw DataError("the row holds text that is not UTF-8", id, "save the source as UTF-8");
  }
}

// Writes the rows and returns what index.json says of the file.
ordered_json write_rows(const fs::path& file, const std::vector<const PreparedRow*>& rows) {
  AtomicFile out(file);
  Hasher hasher;
  for (const PreparedRow* row : rows) {
    const std::string line = json_line(row->row, row->id);
    hasher.add(std::as_bytes(std::span(line)));
    out.stream() << line;
  }
  out.commit();
  return {{"rows", rows.size()}, {"hash", hasher.hex()}};
}

void write_rejected(const fs::path& file, const std::vector<RejectedRow>& rejected) {
  AtomicFile out(file);
  for (const RejectedRow& row : rejected) {
    out.stream() << json_line(
        {{"id", row.id}, {"where", row.where}, {"reason", row.reason}, {"guard", row.guard}},
        row.id);
  }
  out.commit();
}

// The caller's keys one a line, then one line per utterance: readable, and small in a diff.
std::string index_text(const ordered_json& index, const std::vector<ordered_json>& utterances) {
  std::string text = index.dump(1);
  text.resize(text.rfind("\n}"));
  text += ",\n \"utterances\": [";
  for (size_t i = 0; i < utterances.size(); ++i) {
    text += (i == 0 ? "\n  " : ",\n  ") + utterances[i].dump();
  }
  return text + "\n ]\n}\n";
}

}  // namespace

PreparedWriter::PreparedWriter(fs::path folder, std::string model)
    : folder_(std::move(folder)), model_(std::move(model)), lock_(folder_) {
  load_finished();
  load_journal();
  journal_.open(folder_ / kJournalName, std::ios::binary | std::ios::app);
  if (!journal_) throw RunError("cannot write here", (folder_ / kJournalName).string());
}

void PreparedWriter::load_finished() {
  if (!fs::exists(folder_ / kIndexName)) return;
  const ordered_json index = read_prepared_index(folder_, model_);
  if (!has_current_version(index)) {
    log_warning("the set in ", folder_.string(),
                " is of another version of ttsft: every row is prepared anew");
    return;
  }
  try {
    const PreparedSet set = PreparedSet::open(folder_, model_);
    for (const auto* rows : {&set.train, &set.validation}) {
      for (const PreparedRow& row : *rows) rows_.emplace(row.id, row);
    }
  } catch (const DataError& error) {
    log_warning("nothing of the earlier set is reused (", error.what(), ")");
  }
}

void PreparedWriter::load_journal() {
  const fs::path file = folder_ / kJournalName;
  if (!fs::exists(file)) return;
  const std::string text = read_text(file);
  // A kill may tear the last line. It goes, so that the next row does not continue it.
  const size_t whole = text.rfind('\n') == text.npos ? 0 : text.rfind('\n') + 1;
  if (whole < text.size()) fs::resize_file(file, whole);
  size_t unreadable = 0;
  for (std::string_view rest = std::string_view(text).substr(0, whole); !rest.empty();) {
    const size_t end = rest.find('\n');
    try {
      const ordered_json line = ordered_json::parse(rest.substr(0, end));
      PreparedRow row{line.at("id").get<std::string>(), line.at("key").get<std::string>(),
                      line.at("seconds").get<double>(), line.at("row"),
                      line.value("notes", ordered_json())};
      journaled_.insert(row.id);
      rows_.insert_or_assign(row.id, std::move(row));
    } catch (const ordered_json::exception&) {
      ++unreadable;
    }
    rest.remove_prefix(end + 1);
  }
  if (unreadable > 0) {
    log_warning(unreadable, " lines of ", file.string(),
                " cannot be read: these rows are prepared anew");
  }
}

const PreparedRow* PreparedWriter::reusable(const std::string& id, const std::string& key) const {
  const std::lock_guard guard(mutex_);
  const auto found = rows_.find(id);
  if (found == rows_.end() || found->second.key != key) return nullptr;
  current_.insert(id);
  return &found->second;
}

void PreparedWriter::write_journal(const PreparedRow& row) {
  ordered_json line = {
      {"id", row.id}, {"key", row.key}, {"seconds", row.seconds}, {"row", row.row}};
  if (!row.notes.is_null()) line["notes"] = row.notes;
  journal_ << json_line(line, row.id);
  journal_.flush();
  if (!journal_) {
    throw RunError("cannot write the finished row '" + row.id + "'",
                   (folder_ / kJournalName).string(), "is the disk full?");
  }
  journaled_.insert(row.id);
}

void PreparedWriter::add(const PreparedRow& row) {
  const std::lock_guard guard(mutex_);
  write_journal(row);
  rows_.insert_or_assign(row.id, row);
  current_.insert(row.id);
}

void PreparedWriter::finish(const std::vector<std::string>& order,
                            const std::vector<std::string>& validation_ids,
                            const std::vector<RejectedRow>& rejected, ordered_json index) {
  const std::lock_guard guard(mutex_);
  const std::set<std::string> validating(validation_ids.begin(), validation_ids.end());
  std::set<std::string> done;  // rejected, or taken already
  for (const RejectedRow& row : rejected) done.insert(row.id);
  std::vector<const PreparedRow*> train, validation;
  std::vector<ordered_json> utterances;
  for (const std::string& id : order) {
    if (!done.insert(id).second) continue;
    if (current_.count(id) == 0) throw RunError("utterance '" + id + "' was not prepared");
    const PreparedRow& row = rows_.at(id);
    const bool validates = validating.count(id) > 0;
    (validates ? validation : train).push_back(&row);
    utterances.push_back({{"id", row.id},
                          {"key", row.key},
                          {"seconds", row.seconds},
                          {"split", validates ? "validation" : "train"}});
    if (!row.notes.is_null()) utterances.back()["notes"] = row.notes;
  }

  write_rejected(folder_ / kRejectedName, rejected);
  if (utterances.empty()) {
    throw DataError(
        "no utterance is left: all " + std::to_string(rejected.size()) + " are rejected",
        folder_.string(), "the reasons are in " + std::string(kRejectedName));
  }
  // The old row files go now, and with them the old set, so the journal takes over what is reused.
  for (const auto* rows : {&train, &validation}) {
    for (const PreparedRow* row : *rows) {
      if (journaled_.count(row->id) == 0) write_journal(*row);
    }
  }
  ordered_json whole = {
      {"format", kPreparedFormat}, {"version", kPreparedVersion}, {"model", model_}};
  for (const auto& [key, value] : index.items()) {
    if (key != "utterances" && key != "files" && !whole.contains(key)) whole[key] = value;
  }
  whole["files"][std::string(kTrainName)] = write_rows(folder_ / kTrainName, train);
  whole["files"][std::string(kValidationName)] = write_rows(folder_ / kValidationName, validation);
  write_text_atomic(folder_ / kIndexName, index_text(whole, utterances));
  journal_.close();
  fs::remove(folder_ / kJournalName);
}

}  // namespace ttsft
