#include "table_columns.h"

#include <algorithm>
#include <map>
#include <set>

#include "ttsft/core/error.h"
#include "ttsft/core/strings.h"
#include "ttsft/text/fold.h"
#include "ttsft/text/python_string.h"

namespace ttsft {
namespace {

constexpr double kLeastShared = 0.5;               // of a text's letters that its reading has too
constexpr double kLeastLength = 0.5;               // of its letters, in number
constexpr int64_t kMostLength = 2, kMostMore = 4;  // times its letters, and so many more
constexpr double kMostReadings = 0.9;              // of the third column that must be readings
constexpr double kLeastDistinct = 0.7;  // readings differ where texts do; speakers do not

struct Meaning {
  Column column;
  std::vector<std::string> names;
};
// As people call them. The first name is the word of data.columns.
const std::vector<Meaning>& meanings() {
  static const std::vector<Meaning> all = {
      {Column::kFile,
       {"file", "id", "audio", "audio_file", "audio_filepath", "audio_path", "file_name",
        "filename", "path", "wav", "wav_file", "wav_path", "clip", "utterance_id", "utt"}},
      {Column::kText,
       {"text", "transcript", "transcription", "sentence", "raw_text", "text_original"}},
      {Column::kNormalised,
       {"normalized", "normalised", "normalized_text", "normalised_text",
        "normalized_transcription", "text_normalized"}},
      {Column::kSpeaker, {"speaker", "speaker_name", "speaker_id", "spk", "spk_id", "client_id"}},
      {Column::kLanguage, {"language", "lang", "locale"}},
      {Column::kInstruct, {"instruct"}},
      {Column::kReference, {"reference", "ref_audio"}},
      {Column::kRecording, {"recording", "source_recording"}},
      {Column::kIgnored, {"-"}}};
  return all;
}

bool has(const std::vector<Column>& columns, Column column) {
  return std::find(columns.begin(), columns.end(), column) != columns.end();
}

// Letters by number; digits and marks may be spelled out in a reading.
std::map<std::string, int64_t> letters_of(const std::string& text) {
  std::map<std::string, int64_t> letters;
  const std::string folded = fold_name(text);
  for (const std::string_view letter : split_characters(folded)) {
    const bool ascii = letter.size() == 1;
    const auto c = static_cast<unsigned char>(letter.front());
    if (ascii && !(c >= 'a' && c <= 'z')) continue;
    ++letters[std::string(letter)];
  }
  return letters;
}

int64_t total(const std::map<std::string, int64_t>& letters) {
  int64_t sum = 0;
  for (const auto& [letter, count] : letters) sum += count;
  return sum;
}

constexpr const char* kWords =
    "words: file, text, normalized, speaker, language, instruct, reference, recording, - (not "
    "read)";

std::string remedy_for(size_t columns) {
  std::string words = "file, text";
  if (columns > 2) words += ", speaker";
  for (size_t i = 3; i < columns; ++i) words += ", -";
  return "say what they are in data.columns, for example [" + words + "]; " + kWords;
}

// "'anna', 'boris'"
std::string shown(const std::vector<const TableRow*>& rows, size_t column) {
  std::vector<std::string> values;
  std::set<std::string> seen;
  for (const TableRow* row : rows) {
    const std::string& value = row->cells[column];
    if (!seen.insert(value).second) continue;
    values.push_back("'" + value.substr(0, 40) + "'");
    if (values.size() == 3) break;
  }
  return join(values, ", ");
}

std::vector<const TableRow*> with_third(const std::vector<TableRow>& rows) {
  std::vector<const TableRow*> found;
  for (const TableRow& row : rows)
    if (row.bad.empty() && row.cells.size() == 3 && !row.cells[2].empty()) found.push_back(&row);
  return found;
}

// Whether the third column is the second one, read: by its letters, and by being as varied.
double share_of_readings(const std::vector<const TableRow*>& rows) {
  std::set<std::string> texts, thirds;
  int64_t readings = 0;
  for (const TableRow* row : rows) {
    texts.insert(row->cells[1]);
    thirds.insert(row->cells[2]);
    readings += reads_as(row->cells[1], row->cells[2]);
  }
  if (static_cast<double>(thirds.size()) < kLeastDistinct * static_cast<double>(texts.size()))
    return 0;
  return static_cast<double>(readings) / static_cast<double>(rows.size());
}

}  // namespace

std::optional<Column> meaning_of(const std::string& name) {
  const std::string wanted = to_lower_ascii(trim(name));
  for (const Meaning& meaning : meanings())
    if (std::find(meaning.names.begin(), meaning.names.end(), wanted) != meaning.names.end())
      return meaning.column;
  return std::nullopt;
}

std::vector<Column> columns_of_words(const std::vector<std::string>& words) {
  std::vector<Column> columns;
  for (const std::string& word : words) {
    const auto found = std::find_if(meanings().begin(), meanings().end(), [&](const Meaning& one) {
      return one.names.front() == word || (one.column == Column::kFile && word == "id") ||
             (one.column == Column::kNormalised && word == "normalised");
    });
    if (found == meanings().end())
      throw UsageError("columns: '" + word + "' is no word for a column", "", kWords);
    if (found->column != Column::kIgnored && has(columns, found->column))
      throw UsageError("columns: '" + word + "' stands twice");
    columns.push_back(found->column);
  }
  if (!columns.empty() && (!has(columns, Column::kFile) || !has(columns, Column::kText)))
    throw UsageError("columns: wants file and text among them");
  return columns;
}

std::optional<std::vector<Column>> columns_of_header(const std::vector<std::string>& cells,
                                                     const std::string& where) {
  std::vector<Column> columns;
  for (const std::string& cell : cells) {
    const std::optional<Column> column = meaning_of(cell);
    // "id" and "path" in one line: the first one finds the recording.
    const bool again = column && has(columns, *column);
    columns.push_back(column && !again ? *column : Column::kIgnored);
  }
  if (!has(columns, Column::kText)) return std::nullopt;
  if (!has(columns, Column::kFile))
    throw DataError("the line of names has none for the recordings: " + join(cells, ", "), where,
                    remedy_for(cells.size()));
  return columns;
}

bool reads_as(const std::string& text, const std::string& reading) {
  const auto written = letters_of(text), read = letters_of(reading);
  const int64_t letters = total(written);
  // Nothing but numbers and marks: any words may be their reading.
  if (letters == 0) return total(read) > 0;
  int64_t shared = 0;
  for (const auto& [letter, count] : written) {
    const auto found = read.find(letter);
    if (found != read.end()) shared += std::min(count, found->second);
  }
  const auto of_text = [&](int64_t n) {
    return static_cast<double>(n) / static_cast<double>(letters);
  };
  // Numbers and signs grow without bound when they are read; words do not.
  const bool grows = text.find_first_of("0123456789$%&+=#@") != std::string::npos;
  const bool longer = total(read) > kMostLength * letters + kMostMore && !grows;
  return of_text(shared) >= kLeastShared && of_text(total(read)) >= kLeastLength && !longer;
}

std::vector<Column> columns_by_evidence(std::vector<TableRow>& rows, const std::string& place) {
  std::map<size_t, size_t> by_count;
  size_t usable = 0, wide = 0;
  for (const TableRow& row : rows) {
    if (!row.bad.empty()) continue;
    ++usable;
    ++by_count[row.cells.size()];
    wide += row.cells.size() > 3;
  }
  if (2 * by_count[1] > usable)
    throw DataError("1 columns, not id|text or id|text|normalised", place,
                    "separate columns by |, tabs, or commas under a line of names");
  if (2 * wide > usable) {
    const size_t most =
        std::max_element(by_count.begin(), by_count.end(), [](const auto& a, const auto& b) {
          return a.second < b.second;
        })->first;
    throw DataError(std::to_string(most) + " columns, and nothing says what they are", place,
                    remedy_for(most));
  }
  for (TableRow& row : rows) {
    if (!row.bad.empty() || row.cells.size() == 2 || row.cells.size() == 3) continue;
    row.bad = std::to_string(row.cells.size()) + " columns, not id|text or id|text|normalised";
  }
  const std::vector<const TableRow*> third = with_third(rows);
  const std::vector<Column> meaning = {Column::kFile, Column::kText, Column::kNormalised};
  if (third.empty()) return meaning;
  const double readings = share_of_readings(third);
  if (readings < kMostReadings && 2 * third.size() > usable)
    throw DataError("the third column is no reading of the second: " + shown(third, 2), place,
                    remedy_for(3));
  for (TableRow& row : rows) {
    const bool fits = row.cells.size() < 3 || row.cells[2].empty() ||
                      (readings > 0 && reads_as(row.cells[1], row.cells[2]));
    if (row.bad.empty() && !fits)
      row.bad = "its third column '" + row.cells[2].substr(0, 40) +
                "' is no reading of the second: is there a | in the text?";
  }
  return meaning;
}

}  // namespace ttsft
