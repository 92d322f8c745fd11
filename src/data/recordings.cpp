#include "ttsft/data/recordings.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "ttsft/audio/audio.h"
#include "ttsft/core/error.h"
#include "ttsft/core/file_name.h"
#include "ttsft/core/progress.h"
#include "ttsft/io/atomic_file.h"
#include "ttsft/io/parquet.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;

constexpr double kTolerance = 0.05;  // seconds that a part may end behind its recording

struct Failure {
  std::string reason, guard;
};

class Maker {
 public:
  Maker(std::vector<Utterance>& rows, fs::path folder) : rows_(rows), folder_(std::move(folder)) {
    for (size_t i = 0; i < rows.size(); ++i)
      if (rows[i].part) by_file_[rows[i].part->file].push_back(i);
    int64_t count = 0;
    for (const auto& [file, parts] : by_file_) count += std::ssize(parts);
    if (count > 0) {
      fs::create_directories(folder_);
      progress_.emplace("cut recordings", count, "clips");
    }
  }

  void run() {
    for (const auto& [file, parts] : by_file_) {
      if (rows_[parts.front()].part->row < 0) {
        cut(file, parts);
      } else {
        copy(file, parts);
      }
    }
    if (progress_) progress_->finish();
    remove_others();
  }

  const std::map<size_t, Failure>& failures() const { return failures_; }

 private:
  void fail(size_t row, const std::string& reason, const std::string& guard) {
    failures_[row] = {reason, guard};
  }

  void made(size_t row, const fs::path& file) {
    Utterance& utterance = rows_[row];
    utterance.audio = file.string();
    utterance.audio_path = fs::absolute(file);
    utterance.row["audio"] = utterance.audio;
    names_.insert(file.filename().string());
    progress_->advance();
  }

  void cut(const fs::path& file, const std::vector<size_t>& parts) {
    AudioFile whole;
    try {
      whole = decode_audio(file);
    } catch (const DataError& error) {
      for (const size_t row : parts) fail(row, error.what(), "audio_unreadable");
      return;
    }
    const Audio& audio = whole.audio;
    // What has 16 bits in one channel has them here; averaged or coded samples are finer.
    const bool exact = whole.channels == 1 && whole.codec.find("s16") != std::string::npos;
    for (const size_t row : parts) {
      const RecordingPart& part = *rows_[row].part;
      const double end = part.end > 0 ? part.end : audio.seconds();
      if (end > audio.seconds() + kTolerance || part.begin >= audio.seconds()) {
        fail(row,
             "it ends at " + std::to_string(end) + " s, its recording has " +
                 std::to_string(audio.seconds()) + " s",
             "row_malformed");
        continue;
      }
      const auto at = [&](double seconds) {
        const auto sample = static_cast<size_t>(std::llround(seconds * audio.sample_rate));
        return std::min(sample, audio.samples.size());
      };
      const size_t begin = at(part.begin), stop = at(end);
      const fs::path target = folder_ / (file_name_of(rows_[row].id) + ".wav");
      write_wav(target, std::span(audio.samples).subspan(begin, stop - begin), audio.sample_rate,
                exact ? WavFormat::kPcm16 : WavFormat::kFloat32);
      made(row, target);
    }
  }

  void copy(const fs::path& file, const std::vector<size_t>& parts) {
    std::map<int64_t, size_t> wanted;
    for (const size_t row : parts) wanted[rows_[row].part->row] = row;
    std::string column;
    const ParquetReader header(file);
    for (const std::string& name : header.columns())
      if (column.empty() && name.ends_with(".bytes")) column = name;
    ParquetReader reader(file, {column});
    const auto at = static_cast<size_t>(std::max<int64_t>(0, reader.column(column)));
    ParquetRow values;
    for (int64_t number = 0; reader.next(values); ++number) {
      const auto row = wanted.find(number);
      if (row == wanted.end()) continue;
      const auto* bytes = std::get_if<std::string>(&values.at(at));
      if (!bytes || bytes->empty()) {
        fail(row->second, "the row holds no recording", "audio_missing");
        continue;
      }
      const fs::path target =
          folder_ / (file_name_of(rows_[row->second].id) + extension_of(*bytes));
      write_text_atomic(target, *bytes);
      made(row->second, target);
    }
  }

  // For those who look at the folder; prep reads by content.
  static std::string extension_of(std::string_view bytes) {
    if (bytes.starts_with("RIFF")) return ".wav";
    if (bytes.starts_with("fLaC")) return ".flac";
    if (bytes.starts_with("OggS")) return ".ogg";
    if (bytes.size() > 8 && bytes.substr(4, 4) == "ftyp") return ".m4a";
    return ".mp3";
  }

  void remove_others() const {
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(folder_, ignored))
      if (!names_.contains(entry.path().filename().string())) fs::remove(entry.path(), ignored);
    if (names_.empty()) fs::remove(folder_, ignored);
  }

  std::vector<Utterance>& rows_;
  fs::path folder_;
  std::map<fs::path, std::vector<size_t>> by_file_;  // a long file is decoded once
  std::map<size_t, Failure> failures_;
  std::set<std::string> names_;
  std::optional<Progress> progress_;
};

}  // namespace

void make_recordings(std::vector<Utterance>& rows, std::vector<RejectedRow>& rejected,
                     const fs::path& folder) {
  Maker maker(rows, folder);
  maker.run();
  std::vector<Utterance> kept;
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto failure = maker.failures().find(i);
    if (failure == maker.failures().end()) {
      kept.push_back(std::move(rows[i]));
    } else {
      rejected.push_back(
          {rows[i].id, rows[i].where, failure->second.reason, failure->second.guard});
    }
  }
  rows = std::move(kept);
}

}  // namespace ttsft
