// A folder of recordings, each with its text in a .txt or .lab of the same stem, and perhaps its
// codes in a .npy. Sub-folders, one level deep, are speakers.
#include <algorithm>
#include <set>

#include "import.h"
#include "ttsft/core/error.h"
#include "ttsft/core/strings.h"
#include "ttsft/io/atomic_file.h"
#include "ttsft/text/split.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;

constexpr const char* kCodes = ".npy";  // that a model's own tools leave beside a recording

bool is_text(const fs::path& file) {
  const std::string extension = to_lower_ascii(file.extension().string());
  return extension == ".txt" || extension == ".lab";
}

// Sorted, so that the order does not depend on the file system; hidden entries left out.
std::vector<fs::path> entries(const fs::path& folder) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (!entry.path().filename().string().starts_with('.')) found.push_back(entry.path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

// Text files are one utterance: line ends inside are spaces.
std::string read_transcript(const fs::path& file) {
  std::vector<std::string> parts;
  for (const SourceLine& line : read_lines(file)) parts.push_back(trim(line.text));
  return join(parts, " ");
}

void add_files(const fs::path& folder, const fs::path& root, const std::string& speaker,
               bool take_codes, ImportCollector& rows) {
  std::set<fs::path> stems;
  const auto files = entries(folder);
  const auto where = [&](const fs::path& file) { return file.lexically_relative(root).string(); };
  for (const fs::path& file : files) {
    if (!has_audio_extension(file) || !fs::is_regular_file(file)) continue;
    stems.insert(file.stem());
    Utterance row;
    row.id = file.stem().string();
    row.audio = file.string();
    row.audio_path = file;
    row.speaker = speaker;
    row.where = where(file);
    for (const char* extension : {".txt", ".lab"}) {
      const fs::path text = fs::path(file).replace_extension(extension);
      if (row.text.empty() && fs::is_regular_file(text)) row.text = read_transcript(text);
    }
    const fs::path codes = fs::path(file).replace_extension(kCodes);
    if (take_codes && fs::is_regular_file(codes)) row.row["npy"] = codes.string();
    rows.add(std::move(row));
  }
  for (const fs::path& file : files) {
    if (!is_text(file) || !stems.insert(file.stem()).second) continue;
    // Called by its path: it may be no transcript at all, but the README of each speaker.
    rows.reject(where(file), where(file), "no recording of that name", "audio_missing");
  }
}

}  // namespace

bool holds_audio(const fs::path& folder) {
  for (const fs::path& entry : entries(folder)) {
    if (!fs::is_directory(entry)) {
      if (has_audio_extension(entry)) return true;
      continue;
    }
    const auto below = entries(entry);
    if (std::any_of(below.begin(), below.end(), has_audio_extension)) return true;
  }
  return false;
}

ImportedSet import_audio_folder(const fs::path& source, const ImportDefaults& defaults) {
  const fs::path folder = fs::canonical(source);
  ImportCollector rows("wav + txt", folder, defaults);
  const auto& encoded = defaults.encoded_keys;
  const bool codes = std::find(encoded.begin(), encoded.end(), "npy") != encoded.end();
  add_files(folder, folder, "", codes, rows);
  for (const fs::path& entry : entries(folder)) {
    if (fs::is_directory(entry)) add_files(entry, folder, entry.filename().string(), codes, rows);
  }
  return rows.finish(source);
}

}  // namespace ttsft
