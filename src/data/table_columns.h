// What the columns of a table mean: as the user says, as a header line says, or as all rows
// together show. Never by position alone.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace ttsft {

enum class Column {
  kFile,
  kText,
  kNormalised,
  kSpeaker,
  kLanguage,
  kInstruct,
  kReference,
  kRecording,
  kIgnored
};

struct TableRow {
  std::string where;
  std::vector<std::string> cells;
  std::string bad;  // why it cannot be used; "": it can
};

// The words of data.columns. UsageError: another word, two of one meaning, no file or no text.
std::vector<Column> columns_of_words(const std::vector<std::string>& words);

// What a column's name says, as people call them; nothing for another.
std::optional<Column> meaning_of(const std::string& name);

// What a line of names says; nothing where it is none: no cell is called as a text is.
// DataError with `where`: it names texts and no recordings.
std::optional<std::vector<Column>> columns_of_header(const std::vector<std::string>& cells,
                                                     const std::string& where);

// Of rows without either: id|text, and id|text|normalised where the third column is a reading of
// the second. Rows that do not fit the others are marked bad. DataError with `place`: most rows
// have more columns, or a third one that is no reading; it shows what stands there.
std::vector<Column> columns_by_evidence(std::vector<TableRow>& rows, const std::string& place);

// Whether one text may be another, read aloud: most of its letters are there, and not much fewer.
bool reads_as(const std::string& text, const std::string& reading);

}  // namespace ttsft
