#include "ttsft/data/prepared_set.h"

#include <algorithm>
#include <span>
#include <string_view>

#include "prepared_files.h"
#include "ttsft/core/error.h"
#include "ttsft/core/hash.h"
#include "ttsft/core/log.h"
#include "ttsft/io/atomic_file.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

[[noreturn]] void broken(const std::string& what, const fs::path& where) {
  throw DataError(what + ": the prepared set is half written or was edited", where.string(),
                  "run prep again");
}

// The lines of one file, which must be the very file that the index was written for.
struct RowFile {
  std::shared_ptr<const MappedFile> file;
  std::vector<std::pair<size_t, size_t>> lines;  // begin, length
  size_t next = 0;
};

RowFile open_rows(const fs::path& path, const ordered_json& stated) {
  if (!fs::exists(path)) broken("a file is missing", path);
  RowFile rows{std::make_shared<const MappedFile>(path), {}};
  const auto bytes = rows.file->bytes();
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (content_hash(text) != stated.at("hash").get<std::string>()) {
    broken("the file is not the one that index.json describes", path);
  }
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    rows.lines.emplace_back(begin, end - begin);
    begin = end + 1;
  }
  if (rows.lines.size() != stated.at("rows").get<size_t>()) {
    broken("there are " + std::to_string(rows.lines.size()) + " rows", path);
  }
  return rows;
}

PreparedRows::Entry take_row(RowFile& rows, const ordered_json& utterance, const fs::path& folder) {
  if (rows.next == rows.lines.size()) broken("index.json lists more rows than there are", folder);
  const auto notes = utterance.find("notes");
  const auto [begin, length] = rows.lines[rows.next++];
  return {utterance.at("id").get<std::string>(),
          utterance.at("key").get<std::string>(),
          utterance.at("seconds").get<double>(),
          notes == utterance.end() ? std::string() : notes->dump(),
          rows.file,
          begin,
          length};
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
  PreparedSet set = look(folder, model);
  std::string changed;
  try {
    changed = changed_set_file(folder, set.index);
  } catch (const nlohmann::json::exception& error) {
    broken(std::string("index.json cannot be read (") + error.what() + ")", folder);
  }
  if (changed.empty()) return set;
  if (fs::exists(folder / kJournalName)) {
    throw DataError("a later prep has changed " + changed + " and has not finished",
                    folder.string(), "run prep again, it continues");
  }
  broken("what lies there is not what index.json describes", folder / changed);
}

PreparedSet PreparedSet::look(const fs::path& folder, const std::string& model) {
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
    set.assign_rows();
  } catch (const nlohmann::json::exception& error) {
    broken(std::string("index.json cannot be read (") + error.what() + ")", folder);
  }
  if (has_journal) {
    log_warning("a later prep into ", folder.string(),
                " has not finished: the set before it is read; run prep again to renew it");
  }
  return set;
}

// Gives each entry of the index its row, in order.
void PreparedSet::assign_rows() {
  const ordered_json& files = index.at("files");
  RowFile train_file = open_rows(folder / kTrainName, files.at(std::string(kTrainName)));
  RowFile validation_file =
      open_rows(folder / kValidationName, files.at(std::string(kValidationName)));
  std::set<std::string> ids;
  for (const ordered_json& utterance : index.at("utterances")) {
    const std::string split = utterance.at("split").get<std::string>();
    if (split != "train" && split != "validation") broken("split '" + split + "'", folder);
    validates_.push_back(split == "validation");
    auto entry = take_row(validates_.back() ? validation_file : train_file, utterance, folder);
    if (!ids.insert(entry.id).second) broken("'" + entry.id + "' is listed twice", folder);
    (validates_.back() ? validation : train).add(std::move(entry));
  }
  if (train_file.next != train_file.lines.size() ||
      validation_file.next != validation_file.lines.size()) {
    broken("index.json lists fewer rows than there are", folder);
  }
  index.erase("utterances");
}

PreparedRows PreparedSet::all() const {
  PreparedRows rows;
  size_t next_train = 0, next_validation = 0;
  for (const bool validates : validates_) {
    rows.add(validates ? validation.entries()[next_validation++] : train.entries()[next_train++]);
  }
  return rows;
}

}  // namespace ttsft
