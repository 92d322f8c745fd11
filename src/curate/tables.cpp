#include "tables.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <set>

#include "recording.h"
#include "speakers.h"
#include "ttsft/core/error.h"
#include "ttsft/curate/review_page.h"
#include "ttsft/data/csv.h"
#include "ttsft/io/atomic_file.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

const std::vector<std::string> kColumns = {"file_name",  "text",         "speaker",
                                           "confidence", "recording",    "start",
                                           "end",        "speech_start", "speech_end"};
constexpr const char* kTable = "metadata.csv";
constexpr const char* kDropped = "dropped.jsonl";
constexpr const char* kPage = "review.html";

std::string fixed(double value, int digits) {
  std::array<char, 40> text{};
  std::snprintf(text.data(), text.size(), "%.*f", digits, value);
  return text.data();
}

std::vector<std::string> row_of(const FoundClip& clip, const RecordingState& recording) {
  return {"wavs/" + clip.id + ".wav",
          clip.text,
          clip.speaker,
          std::isnan(clip.confidence) ? "" : fixed(clip.confidence, 3),
          recording.name,
          fixed(clip.begin, 3),
          fixed(clip.end, 3),
          fixed(clip.speech_begin, 3),
          fixed(clip.speech_end, 3)};
}

ordered_json line_of(const FoundClip& clip, const RecordingState& recording) {
  ordered_json line = {{"recording", recording.name},
                       {"start", clip.begin},
                       {"end", clip.end},
                       {"reason", clip.problem},
                       {"message", clip.message}};
  if (!clip.text.empty()) line["text"] = clip.text;
  if (clip.has_audio) line["audio"] = "aside/" + clip.id + ".wav";
  return line;
}

// Row number by clip id.
std::map<std::string, size_t> ids_of(const CsvTable& table) {
  std::map<std::string, size_t> rows;
  const size_t column = table.column("file_name");
  for (size_t i = 0; i < table.rows.size(); ++i)
    rows.emplace(fs::path(table.rows[i][column]).stem().string(), i);
  return rows;
}

CsvTable load_table(const fs::path& out) {
  if (fs::exists(out / kTable)) {
    CsvTable table = read_csv(out / kTable);
    for (const char* name : {"file_name", "text", "speaker"}) table.column(name);
    return table;
  }
  return {kColumns, {}, (out / kTable).string()};
}

std::vector<std::string> load_lines(const fs::path& file) {
  std::vector<std::string> lines;
  if (!fs::exists(file)) return lines;
  std::string text = read_text(file);
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    if (end > at) lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

void write_table(const CsvTable& table) {
  std::string text = csv_record(table.columns) + "\n";
  for (const auto& row : table.rows) text += csv_record(row) + "\n";
  write_text_atomic(table.file, text);
}

void move_aside(const FoundClip& clip, const fs::path& out) {
  const fs::path from = out / "wavs" / (clip.id + ".wav");
  if (!clip.has_audio || !fs::exists(from)) return;
  fs::create_directories(out / "aside");
  fs::rename(from, out / "aside" / (clip.id + ".wav"));
}

// Speakers of the clips of the recordings that one --speaker was given for.
void settle_speakers(std::map<std::string, RecordingState>& states,
                     const std::map<std::string, size_t>& rows, const CsvTable& table,
                     const std::optional<VoiceScale>& scale, const CurateOptions& options) {
  std::map<std::string, std::vector<SpokenClip>> by_name;
  for (auto& [name, state] : states) {
    for (FoundClip& clip : state.clips) {
      if (!clip.problem.empty()) continue;
      const auto row = rows.find(clip.id);
      if (state.listed && row == rows.end()) continue;  // somebody took it out
      SpokenClip spoken{&clip, ""};
      if (row != rows.end()) spoken.listed_as = table.rows[row->second][table.column("speaker")];
      by_name[state.speaker].push_back(spoken);
    }
  }
  for (auto& [name, clips] : by_name) name_speakers(clips, name, scale, options);
}

ReviewTable review_of(const std::map<std::string, RecordingState>& states, const CsvTable& table,
                      const fs::path& out) {
  ReviewTable review;
  review.title = fs::weakly_canonical(out).filename().string();
  review.columns = table.columns;
  const std::map<std::string, size_t> rows = ids_of(table);
  const size_t text = table.column("text"), speaker = table.column("speaker");
  for (const auto& [name, state] : states) {
    for (const FoundClip& clip : state.clips) {
      if (!clip.has_audio) continue;
      const auto row = rows.find(clip.id);
      const bool kept = row != rows.end();
      if (!kept && clip.problem.empty()) continue;  // somebody took it out
      ReviewClip shown;
      shown.id = clip.id;
      shown.row = kept ? table.rows[row->second] : row_of(clip, state);
      shown.audio = (kept ? "wavs/" : "aside/") + clip.id + ".wav";
      shown.text = kept ? shown.row[text] : clip.text;
      shown.speaker = kept ? shown.row[speaker] : clip.speaker;
      if (!kept) {
        shown.row.front() = shown.audio;
        shown.row.resize(table.columns.size());
        shown.dropped = clip.message;
      }
      shown.seconds = clip.seconds();
      shown.confidence = clip.confidence;
      shown.recording = state.name;
      shown.begin = clip.begin;
      shown.end = clip.end;
      review.clips.push_back(std::move(shown));
    }
  }
  return review;
}

struct Tally {
  int64_t clips = 0;
  double seconds = 0;
  void add(double length) {
    ++clips;
    seconds += length;
  }
  ordered_json json() const {
    return {{"clips", clips}, {"seconds", std::round(seconds * 100) / 100}};
  }
};

ordered_json summary(const std::map<std::string, RecordingState>& states, const CsvTable& table) {
  const std::map<std::string, size_t> rows = ids_of(table);
  Tally kept, taken_out;
  std::map<std::string, Tally> speakers, dropped;
  double recorded = 0;
  for (const auto& [name, state] : states) {
    recorded += state.seconds;
    for (const FoundClip& clip : state.clips) {
      if (const auto row = rows.find(clip.id); row != rows.end()) {
        kept.add(clip.seconds());
        speakers[table.rows[row->second][table.column("speaker")]].add(clip.seconds());
      } else if (clip.problem.empty()) {
        taken_out.add(clip.seconds());
      } else {
        dropped[clip.problem].add(clip.seconds());
      }
    }
  }
  ordered_json result = {{"recorded_seconds", std::round(recorded * 100) / 100},
                         {"clips", kept.clips},
                         {"seconds", kept.json()["seconds"]},
                         {"speakers", ordered_json::array()},
                         {"dropped", ordered_json::object()}};
  for (const auto& [name, tally] : speakers) {
    ordered_json one = {{"name", name}};
    one.update(tally.json());
    result["speakers"].push_back(one);
  }
  for (const auto& [reason, tally] : dropped) result["dropped"][reason] = tally.json();
  if (taken_out.clips > 0) result["dropped"]["taken_out"] = taken_out.json();
  return result;
}

}  // namespace

ordered_json write_tables(std::map<std::string, RecordingState>& states,
                          const std::optional<VoiceScale>& scale, const CurateOptions& options,
                          const CurateState& store) {
  const fs::path& out = options.out;
  if (!fs::exists(out / kTable))
    for (auto& [name, state] : states) state.listed = false;  // all of it anew
  CsvTable table = load_table(out);
  std::vector<std::string> lines = load_lines(out / kDropped);
  std::set<std::string> known(lines.begin(), lines.end());
  const std::map<std::string, size_t> rows = ids_of(table);
  settle_speakers(states, rows, table, scale, options);
  std::map<std::string, size_t> place;  // of our columns in the table's
  for (const std::string& column : kColumns)
    if (std::find(table.columns.begin(), table.columns.end(), column) != table.columns.end())
      place[column] = table.column(column);
  for (auto& [name, state] : states) {
    if (state.listed) continue;
    for (const FoundClip& clip : state.clips) {
      if (!clip.problem.empty()) {
        move_aside(clip, out);
        const std::string line = line_of(clip, state).dump();
        if (known.insert(line).second) lines.push_back(line);
      } else if (!rows.contains(clip.id)) {
        std::vector<std::string> cells(table.columns.size());
        const std::vector<std::string> own = row_of(clip, state);
        for (size_t i = 0; i < kColumns.size(); ++i)
          if (const auto at = place.find(kColumns[i]); at != place.end())
            cells[at->second] = own[i];
        table.rows.push_back(std::move(cells));
      }
    }
  }
  write_table(table);
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  write_text_atomic(out / kDropped, text);
  write_text_atomic(out / kPage, review_page(review_of(states, table, out)));
  for (auto& [name, state] : states) {
    if (state.listed) continue;
    state.listed = true;
    store.save(state);
  }
  return summary(states, table);
}

void forget_recording(const RecordingState& state, const fs::path& out) {
  if (fs::exists(out / kTable)) {
    CsvTable table = load_table(out);
    const size_t column = table.column("file_name");
    std::set<std::string> gone;
    for (const FoundClip& clip : state.clips) gone.insert(clip.id);
    std::erase_if(table.rows, [&](const std::vector<std::string>& row) {
      return gone.contains(fs::path(row[column]).stem().string());
    });
    write_table(table);
  }
  std::string text;
  for (const std::string& line : load_lines(out / kDropped)) {
    const auto json = ordered_json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (json.is_object() && json.value("recording", "") == state.name) continue;
    text += line + "\n";
  }
  if (fs::exists(out / kDropped)) write_text_atomic(out / kDropped, text);
  for (const FoundClip& clip : state.clips)
    for (const char* folder : {"wavs", "aside"})
      if (clip.has_audio) fs::remove(out / folder / (clip.id + ".wav"));
}

}  // namespace ttsft
