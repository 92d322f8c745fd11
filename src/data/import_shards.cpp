// A folder with data.list, as CosyVoice's tools leave it: a parquet shard a line, with utt, text,
// spk and perhaps instruct, and what its encoders made of each recording.
#include <algorithm>

#include "import.h"
#include "ttsft/core/error.h"
#include "ttsft/core/strings.h"
#include "ttsft/io/parquet.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;

constexpr const char* kList = "data.list";

// Columns that go into the row as they are: what encoders made.
constexpr const char* kEncoded[] = {"speech_token", "utt_embedding"};

class Shard {
 public:
  explicit Shard(const fs::path& file) : file_(file), reader_(file) {
    for (const char* needed : {"utt", "text"}) {
      if (reader_.column(needed) < 0)
        throw DataError(std::string("the shard has no column ") + needed, file.string(),
                        "it has: " + join(reader_.columns(), ", "));
    }
  }

  bool next() {
    ++number_;
    return reader_.next(row_);
  }

  std::string text(const char* column) const {
    const ParquetValue* value = find(column);
    const auto* text = value ? std::get_if<std::string>(value) : nullptr;
    return text ? *text : "";
  }

  // Null where the column is absent or empty.
  nlohmann::ordered_json numbers(const char* column) const {
    const ParquetValue* value = find(column);
    if (!value) return {};
    if (const auto* whole = std::get_if<std::vector<int64_t>>(value)) {
      return whole->empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(*whole);
    }
    if (const auto* real = std::get_if<std::vector<double>>(value)) {
      return real->empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(*real);
    }
    return {};
  }

  std::string where() const {
    return file_.filename().string() + " row " + std::to_string(number_);
  }

 private:
  const ParquetValue* find(const char* column) const {
    const int64_t at = reader_.column(column);
    return at < 0 ? nullptr : &row_[static_cast<size_t>(at)];
  }

  fs::path file_;
  ParquetReader reader_;
  ParquetRow row_;
  int64_t number_ = 0;
};

}  // namespace

bool holds_shards(const fs::path& folder) {
  return fs::is_regular_file(folder / kList);
}

ImportedSet import_shards(const fs::path& folder, const ImportDefaults& defaults) {
  ImportCollector rows("parquet shards", folder, defaults);
  for (const SourceLine& line : read_lines(folder / kList)) {
    if (!line.bad.empty()) throw DataError(line.bad, place(folder / kList, line.number));
    const std::string name = trim(line.text);
    fs::path file = rows.find_file(name);
    // A list that has moved with its shards names where they were.
    if (file.empty()) file = rows.find_file(fs::path(name).filename().string());
    if (file.empty())
      throw DataError("the shard " + name + " is not there", place(folder / kList, line.number),
                      "paths start at the working directory or at the list's folder");
    for (Shard shard(file); shard.next();) {
      Utterance row;
      row.id = shard.text("utt");
      row.where = shard.where();
      row.text = shard.text("text");
      row.speaker = shard.text("spk");
      row.instruct = shard.text("instruct");
      const std::string audio = shard.text("wav");
      row.audio_path = rows.find_file(audio);
      row.audio = rows.row_path(audio, row.audio_path);
      if (!row.instruct.empty()) row.row["instruct"] = row.instruct;
      for (const char* column : kEncoded) {
        nlohmann::ordered_json values = shard.numbers(column);
        if (!values.is_null()) row.row[column] = std::move(values);
      }
      rows.add(std::move(row));
    }
  }
  return rows.finish(folder);
}

}  // namespace ttsft
