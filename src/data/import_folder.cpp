// A folder of recordings, each with its text in a .txt or .lab of the same stem, and perhaps its
// codes in a .npy. Sub-folders are speakers; what lies deeper is theirs.
#include <algorithm>
#include <map>
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

// Text files are one utterance: line ends inside are spaces. BadRow: not UTF-8.
std::string read_transcript(const fs::path& file) {
  std::vector<std::string> parts;
  std::vector<SourceLine> lines;
  try {
    lines = read_lines(file);
  } catch (const DataError& error) {
    throw BadRow(error.what());
  }
  for (const SourceLine& line : lines) {
    if (!line.bad.empty()) throw BadRow(place(file, line.number) + ": " + line.bad);
    parts.push_back(trim(line.text));
  }
  return join(parts, " ");
}

// LibriTTS keeps what was read beside what was printed.
constexpr const char* kTexts[] = {".normalized.txt", ".txt", ".lab"};
constexpr const char* kPrinted = ".original.txt";

// A folder of a tree whose recordings have names of their own, or not.
struct Tree {
  fs::path root;
  bool take_codes = false;
  std::map<std::string, int> stems;  // how many recordings are called so

  std::string where(const fs::path& file) const { return file.lexically_relative(root).string(); }
  // The stem, or where several have it the path.
  std::string id_of(const fs::path& file) const {
    const std::string stem = file.stem().string();
    if (stems.at(stem) == 1) return stem;
    return fs::path(where(file)).replace_extension().generic_string();
  }
};

void count_names(const fs::path& folder, std::map<std::string, int>& stems) {
  for (const fs::path& entry : entries(folder)) {
    if (fs::is_directory(entry)) {
      count_names(entry, stems);
    } else if (has_audio_extension(entry)) {
      ++stems[entry.stem().string()];
    }
  }
}

void add_files(const fs::path& folder, const Tree& tree, const std::string& speaker,
               ImportCollector& rows) {
  std::set<std::string> transcripts;  // that belong to a recording
  const auto files = entries(folder);
  for (const fs::path& file : files) {
    if (!has_audio_extension(file) || !fs::is_regular_file(file)) continue;
    Utterance row;
    row.id = tree.id_of(file);
    row.audio = file.string();
    row.audio_path = file;
    row.speaker = speaker;
    row.where = tree.where(file);
    std::string bad;
    for (const char* ending : kTexts) {
      const fs::path text = folder / (file.stem().string() + ending);
      if (!fs::is_regular_file(text)) continue;
      transcripts.insert(text.filename().string());
      try {
        if (row.text.empty()) row.text = read_transcript(text);
      } catch (const BadRow& error) {
        bad = error.what();
      }
    }
    transcripts.insert(file.stem().string() + kPrinted);
    if (row.text.empty() && !bad.empty()) {
      rows.reject(row.id, row.where, bad, "row_malformed");
      continue;
    }
    const fs::path codes = fs::path(file).replace_extension(kCodes);
    if (tree.take_codes && fs::is_regular_file(codes)) row.row["npy"] = codes.string();
    rows.add(std::move(row));
  }
  for (const fs::path& file : files) {
    if (!is_text(file) || transcripts.contains(file.filename().string())) continue;
    // Called by its path: it may be no transcript at all, but the README of each speaker.
    rows.reject(tree.where(file), tree.where(file), "no recording of that name", "audio_missing");
  }
  for (const fs::path& entry : files) {
    if (!fs::is_directory(entry)) continue;
    add_files(entry, tree, speaker.empty() ? entry.filename().string() : speaker, rows);
  }
}

}  // namespace

bool holds_audio(const fs::path& folder) {
  for (const fs::path& entry : entries(folder)) {
    if (fs::is_directory(entry) ? holds_audio(entry) : has_audio_extension(entry)) return true;
  }
  return false;
}

ImportedSet import_audio_folder(const fs::path& source, const ImportDefaults& defaults) {
  const auto& encoded = defaults.encoded_keys;
  Tree tree{fs::canonical(source)};
  tree.take_codes = std::find(encoded.begin(), encoded.end(), "npy") != encoded.end();
  count_names(tree.root, tree.stems);
  ImportCollector rows("wav + txt", tree.root, defaults);
  add_files(tree.root, tree, "", rows);
  return rows.finish(source);
}

}  // namespace ttsft
