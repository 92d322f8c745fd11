// A page to listen to clips, read their texts and correct them: one file, opened from disk, which
// plays the recordings beside it and gives back a corrected table. No network, no server.
#pragma once

#include <string>
#include <vector>

namespace ttsft {

struct ReviewClip {
  std::string id;
  std::string audio;  // path relative to the page, with '/'
  std::string text, speaker;
  double seconds = 0;
  double confidence = 0;         // 0 to 1; NaN: unknown
  std::string recording;         // what it was cut from
  double begin = 0, end = 0;     // seconds in it
  std::string dropped;           // why it is not in the table; empty: it is
  std::vector<std::string> row;  // the whole row of the table, by ReviewTable::columns
};

struct ReviewTable {
  std::string title;
  std::string file_name = "metadata.csv";  // of what the page saves
  std::vector<std::string> columns;        // of a table of commas with a line of names
  std::string text_column = "text", speaker_column = "speaker";
  // What the page saves are the rows of these and no others: those in the table in this order, then
  // those that were taken in. Text and speaker stand where their columns are; other cells stay.
  std::vector<ReviewClip> clips;
};

// HTML of the whole page; names and texts are escaped, bytes that are no UTF-8 replaced. What a
// person changes the browser keeps under a hash of the table: another table starts afresh.
// std::logic_error: no text or speaker column, a row of another length than the columns.
std::string review_page(const ReviewTable& table);

}  // namespace ttsft
