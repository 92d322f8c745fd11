#include <algorithm>
#include <span>
#include <string_view>

#include "prepared_files.h"
#include "ttsft/core/error.h"
#include "ttsft/core/hash.h"
#include "ttsft/core/log.h"
#include "ttsft/data/prepared_set.h"
#include "ttsft/io/atomic_file.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

// JSON without a line break, UTF-8 kept. Text that is not UTF-8 cannot be stored.
std::string json_text(const ordered_json& value, const std::string& id) {
  try {
    return value.dump();
  } catch (const ordered_json::exception&) {
    throw DataError("the row holds text that is not UTF-8", id, "save the source as UTF-8");
  }
}

void write_lines(const fs::path& file, const std::vector<ordered_json>& rows) {
  AtomicFile out(file);
  for (const ordered_json& row : rows)
    out.stream() << json_text(row, row.at("id").get<std::string>()) << "\n";
  out.commit();
}

void write_rejected(const fs::path& file, const std::vector<RejectedRow>& rejected) {
  std::vector<ordered_json> rows;
  for (const RejectedRow& row : rejected)
    rows.push_back(
        {{"id", row.id}, {"where", row.where}, {"reason", row.reason}, {"guard", row.guard}});
  write_lines(file, rows);
}

void write_findings(const fs::path& file, const std::vector<WarnedRow>& warned) {
  std::vector<ordered_json> rows;
  for (const WarnedRow& row : warned)
    rows.push_back(
        {{"id", row.id}, {"where", row.where}, {"guard", row.guard}, {"message", row.message}});
  write_lines(file, rows);
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
  remove_unfinished(folder_);
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder_, ignored)) {
    if (entry.is_directory(ignored)) remove_unfinished(entry.path());
  }
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
    const PreparedSet set = PreparedSet::look(folder_, model_);
    for (const auto* rows : {&set.train, &set.validation}) {
      for (const PreparedRows::Entry& row : rows->entries()) {
        rows_[row.id] = {row.key, row.seconds, std::string(row.text()), row.notes};
      }
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
      const std::string id = line.at("id").get<std::string>();
      rows_[id] = {line.at("key").get<std::string>(), line.at("seconds").get<double>(),
                   line.at("row").dump(),
                   line.contains("notes") ? line["notes"].dump() : std::string()};
      journaled_.insert(id);
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

std::optional<PreparedRow> PreparedWriter::reusable(const std::string& id,
                                                    const std::string& key) const {
  StoredRow row;
  {
    const std::lock_guard guard(mutex_);
    const auto found = rows_.find(id);
    if (found == rows_.end() || found->second.key != key) return std::nullopt;
    current_.insert(id);
    row = found->second;
  }
  return PreparedRow{id, row.key, row.seconds, ordered_json::parse(row.text),
                     row.notes.empty() ? ordered_json() : ordered_json::parse(row.notes)};
}

void PreparedWriter::write_journal(const std::string& id, const StoredRow& row) {
  journal_ << "{\"id\":" << json_text(id, id) << ",\"key\":" << json_text(row.key, id)
           << ",\"seconds\":" << ordered_json(row.seconds).dump() << ",\"row\":" << row.text;
  if (!row.notes.empty()) journal_ << ",\"notes\":" << row.notes;
  journal_ << "}\n";
  journal_.flush();
  if (!journal_) {
    throw RunError("cannot write the finished row '" + id + "'", (folder_ / kJournalName).string(),
                   "is the disk full?");
  }
  journaled_.insert(id);
}

void PreparedWriter::add(const PreparedRow& row) {
  StoredRow stored{row.key, row.seconds, json_text(row.row, row.id),
                   row.notes.is_null() ? std::string() : json_text(row.notes, row.id)};
  const std::lock_guard guard(mutex_);
  write_journal(row.id, stored);
  rows_.insert_or_assign(row.id, std::move(stored));
  current_.insert(row.id);
}

// Returns what index.json says of the file.
ordered_json PreparedWriter::write_rows(std::string_view name,
                                        const std::vector<const StoredRow*>& rows) const {
  AtomicFile out(folder_ / name);
  Hasher hasher;
  for (const StoredRow* row : rows) {
    const std::string line = row->text + "\n";
    hasher.add(std::as_bytes(std::span(line)));
    out.stream() << line;
  }
  out.commit();
  return {{"rows", rows.size()}, {"hash", hasher.hex()}};
}

void PreparedWriter::finish(const std::vector<std::string>& order,
                            const std::vector<std::string>& validation_ids,
                            const std::vector<RejectedRow>& rejected, ordered_json index,
                            const std::vector<WarnedRow>& warned) {
  const std::lock_guard guard(mutex_);
  const std::set<std::string> validating(validation_ids.begin(), validation_ids.end());
  std::set<std::string> done;  // rejected, or taken already
  for (const RejectedRow& row : rejected) done.insert(row.id);
  std::vector<std::pair<std::string, const StoredRow*>> chosen;
  std::vector<const StoredRow*> train, validation;
  std::vector<ordered_json> utterances;
  for (const std::string& id : order) {
    if (!done.insert(id).second) continue;
    if (current_.count(id) == 0) throw RunError("utterance '" + id + "' was not prepared");
    const StoredRow& row = rows_.at(id);
    const bool validates = validating.count(id) > 0;
    (validates ? validation : train).push_back(&row);
    chosen.emplace_back(id, &row);
    utterances.push_back({{"id", id},
                          {"key", row.key},
                          {"seconds", row.seconds},
                          {"split", validates ? "validation" : "train"}});
    if (!row.notes.empty()) utterances.back()["notes"] = ordered_json::parse(row.notes);
  }

  flush_file_system(folder_);  // what the rows name, before they say that it is there
  write_rejected(folder_ / kRejectedName, rejected);
  write_findings(folder_ / kFindingsName, warned);
  if (utterances.empty()) {
    throw DataError(
        "no utterance is left: all " + std::to_string(rejected.size()) + " are rejected",
        folder_.string(), "the reasons are in " + std::string(kRejectedName));
  }
  // The old row files go now, and with them the old set, so the journal takes over what is reused.
  for (const auto& [id, row] : chosen) {
    if (journaled_.count(id) == 0) write_journal(id, *row);
  }
  ordered_json whole = {
      {"format", kPreparedFormat}, {"version", kPreparedVersion}, {"model", model_}};
  for (const auto& [key, value] : index.items()) {
    if (key != "utterances" && key != "files" && !whole.contains(key)) whole[key] = value;
  }
  whole["files"][std::string(kTrainName)] = write_rows(kTrainName, train);
  whole["files"][std::string(kValidationName)] = write_rows(kValidationName, validation);
  write_text_atomic(folder_ / kIndexName, index_text(whole, utterances));
  journal_.close();
  fs::remove(folder_ / kJournalName);
}

}  // namespace ttsft
