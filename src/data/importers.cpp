#include "ttsft/data/importers.h"

#include <algorithm>

#include "import.h"
#include "ttsft/core/error.h"
#include "ttsft/core/strings.h"
#include "ttsft/io/atomic_file.h"
#include "ttsft/text/split.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
constexpr std::string_view kFormats =
    "give an LJSpeech folder or metadata.csv, a folder of audio with .txt or .lab files, a .jsonl, "
    "a folder of .pt or .protos files, a Kaldi folder or one with train_manifest.jsonl or "
    "data.list";

}  // namespace

const std::vector<std::string>& audio_extensions() {
  static const std::vector<std::string> extensions = {".wav", ".flac", ".mp3", ".ogg",  ".opus",
                                                      ".m4a", ".aac",  ".aif", ".aiff", ".wma"};
  return extensions;
}

bool has_audio_extension(const fs::path& file) {
  const auto& known = audio_extensions();
  const std::string extension = to_lower_ascii(file.extension().string());
  return std::find(known.begin(), known.end(), extension) != known.end();
}

std::string place(const fs::path& file, int64_t line) {
  return file.filename().string() + " line " + std::to_string(line);
}

std::vector<SourceLine> read_lines(const fs::path& file) {
  const std::string content = read_text(file);
  std::string_view rest = content;
  if (rest.starts_with(kByteOrderMark)) rest.remove_prefix(kByteOrderMark.size());
  std::vector<SourceLine> lines;
  for (int64_t number = 1; !rest.empty(); ++number) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!is_valid_utf8(line)) {
      throw DataError("the line is not UTF-8", place(file, number), "save the file as UTF-8");
    }
    if (!trim(line).empty()) lines.push_back({number, std::string(line)});
  }
  return lines;
}

ImportCollector::ImportCollector(std::string format, const fs::path& folder,
                                 const ImportDefaults& defaults)
    : folder_(fs::absolute(folder).lexically_normal()), defaults_(defaults) {
  set_.format = std::move(format);
  if (!defaults_.reference.empty() && !fs::is_regular_file(defaults_.reference)) {
    throw UsageError("data.reference is not there", defaults_.reference.string());
  }
}

fs::path ImportCollector::find_file(const std::string& written) const {
  std::error_code ignored;  // a name that the file system refuses is not there
  if (written.empty()) return {};
  if (fs::is_regular_file(written, ignored)) return fs::absolute(written);
  if (fs::is_regular_file(folder_ / written, ignored)) return folder_ / written;
  return {};
}

std::string ImportCollector::row_path(const std::string& written, const fs::path& found) const {
  return found.empty() || fs::absolute(written) == found ? written : found.string();
}

void ImportCollector::claim(const std::string& id, const std::string& where) {
  if (!is_valid_utf8(id)) throw DataError("the name is not UTF-8", where, "rename the file");
  const auto [first, is_new] = places_.emplace(id, where);
  if (is_new) return;
  throw DataError("two utterances are called '" + id + "'", first->second + " and " + where,
                  "give each its own id or file name");
}

void ImportCollector::reject(const std::string& id, const std::string& where,
                             const std::string& reason, const std::string& guard) {
  claim(id, where);
  set_.rejected.push_back({id, where, reason, guard});
}

void ImportCollector::add(Utterance row) {
  if (row.speaker.empty()) row.speaker = defaults_.speaker;
  if (row.instruct.empty()) row.instruct = defaults_.instruct;
  if (!row.reference.empty()) {
    row.reference_path = find_file(row.reference);
  } else if (!defaults_.reference.empty()) {
    row.reference = defaults_.reference.string();
    row.reference_path = fs::absolute(defaults_.reference);
  }
  // Rows that upstream's tools prepared bring their codes; nothing reads their recordings any more.
  const bool encoded =
      std::any_of(defaults_.encoded_keys.begin(), defaults_.encoded_keys.end(),
                  [&row](const std::string& key) { return row.row.contains(key); });
  const bool nameless = row.audio.empty() && row.id == row.where;
  if (row.audio_path.empty() && (!encoded || nameless)) {
    const std::string what = row.audio.empty() ? "no audio is named" : row.audio + " is not there";
    return reject(row.id, row.where, what, "audio_missing");
  }
  if (trim(row.text).empty() && !encoded) return reject(row.id, row.where, "no text", "text_empty");
  if (!row.reference.empty() && row.reference_path.empty()) {
    return reject(row.id, row.where, "the reference " + row.reference + " is not there",
                  "audio_missing");
  }
  claim(row.id, row.where);
  if (!is_valid_utf8(row.audio_path.string())) {
    throw DataError("the path is not UTF-8", row.where, "rename the file");
  }

  // The keys that upstream's trainers look for, where the source has none.
  const auto fill = [&row](const char* key, const std::string& value) {
    if (!value.empty() && !row.row.contains(key)) row.row[key] = value;
  };
  fill("audio", row.audio);
  fill("text", row.text);
  fill("ref_audio", row.reference);
  set_.utterances.push_back(std::move(row));
}

ImportedSet ImportCollector::finish(const fs::path& source) {
  if (!set_.utterances.empty()) return std::move(set_);
  if (set_.rejected.empty())
    throw DataError("the " + set_.format + " set is empty", source.string());
  const RejectedRow& first = set_.rejected.front();
  throw DataError("none of " + std::to_string(set_.rejected.size()) + " rows can be used (" +
                      first.where + ": " + first.reason + ")",
                  source.string(), "check the paths and texts of the " + set_.format + " set");
}

ImportedSet import_set(const fs::path& source, const ImportDefaults& defaults) {
  if (!fs::exists(source)) throw DataError("data.source is not there", source.string());
  if (!fs::is_directory(source)) {
    const std::string extension = to_lower_ascii(source.extension().string());
    if (extension == ".jsonl" || extension == ".json") return import_jsonl(source, defaults);
    if (holds_protos(source)) return import_protos(source, defaults);
    if (extension == ".csv" || extension == ".txt") return import_ljspeech(source, defaults);
    throw DataError("the format of data.source is not known", source.string(), kFormats);
  }
  if (fs::exists(source / "metadata.csv"))
    return import_ljspeech(source / "metadata.csv", defaults);
  if (fs::exists(source / "wav.scp")) return import_kaldi(source, defaults);
  if (holds_shards(source)) return import_shards(source, defaults);
  if (holds_manifests(source)) return import_manifests(source, defaults);
  if (holds_audio(source)) return import_audio_folder(source, defaults);
  if (holds_protos(source)) return import_protos(source, defaults);
  if (holds_cache(source)) return import_cache(source, defaults);
  throw DataError("no data set in this folder", source.string(), kFormats);
}

}  // namespace ttsft
