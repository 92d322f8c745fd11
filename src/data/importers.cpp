#include "ttsft/data/importers.h"

#include <algorithm>

#include "import.h"
#include "ttsft/core/error.h"
#include "ttsft/core/strings.h"
#include "ttsft/io/atomic_file.h"
#include "ttsft/text/fold.h"
#include "ttsft/text/split.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
constexpr std::string_view kFormats =
    "give an LJSpeech folder, a table (.csv, .tsv, .list), a folder of audio with .txt or .lab "
    "files, "
    "a .jsonl, a .parquet, a folder of these, of .pt or of .protos files, a Kaldi folder or one "
    "with "
    "train_manifest.jsonl or data.list";

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

namespace {

// Text of other writing systems than Latin has a zero in few of its bytes too, but never in a
// quarter of them as UTF-8.
void refuse_utf16(std::string_view content, const fs::path& file) {
  const auto zeros = std::count(content.begin(), content.end(), '\0');
  const bool marked = content.starts_with("\xFF\xFE") || content.starts_with("\xFE\xFF");
  if (!marked && 4 * zeros < std::ssize(content)) return;
  if (content.empty()) return;
  throw DataError("the file is UTF-16, not UTF-8", file.string(), "save it as UTF-8");
}

}  // namespace

std::vector<SourceLine> read_lines(const fs::path& file) {
  const std::string content = read_text(file);
  refuse_utf16(content, file);
  std::string_view rest = content;
  if (rest.starts_with(kByteOrderMark)) rest.remove_prefix(kByteOrderMark.size());
  std::vector<SourceLine> lines;
  for (int64_t number = 1; !rest.empty(); ++number) {
    const size_t end = std::min(rest.find_first_of("\r\n"), rest.size());
    const std::string_view line = rest.substr(0, end);
    const size_t ends = rest.substr(end).starts_with("\r\n") ? 2 : 1;
    rest.remove_prefix(std::min(end + ends, rest.size()));
    if (trim(line).empty()) continue;
    SourceLine& read = lines.emplace_back(SourceLine{number, {}});
    if (!is_valid_utf8(line)) {
      read.bad = "the line is not UTF-8: save the file as UTF-8";
    } else if (line.find('\0') != std::string_view::npos) {
      read.bad = "there is a NUL in the line";
    } else {
      read.text = line;
    }
  }
  return lines;
}

namespace {

// "a/b.wav" of "a\\b.wav"; without the extension of an audio file.
fs::path plain_path(const std::string& audio) {
  std::string slashes = audio;
  std::replace(slashes.begin(), slashes.end(), '\\', '/');
  fs::path path = fs::path(slashes).lexically_normal();
  return has_audio_extension(path) ? path.replace_extension() : path;
}

}  // namespace

void RowNames::count(const std::string& audio) {
  const fs::path path = plain_path(audio);
  paths_[path.filename().string()].insert(path.generic_string());
}

std::string RowNames::id_of(const std::string& audio) const {
  const fs::path path = plain_path(audio);
  const auto same = paths_.find(path.filename().string());
  const bool several = same != paths_.end() && same->second.size() > 1;
  return several ? path.generic_string() : path.filename().string();
}

ImportCollector::ImportCollector(std::string format, const fs::path& folder,
                                 const ImportDefaults& defaults)
    : folder_(fs::absolute(folder).lexically_normal()), defaults_(defaults) {
  set_.format = std::move(format);
}

fs::path ImportCollector::find_file(const std::string& written) const {
  std::error_code ignored;  // a name that the file system refuses is not there
  if (written.empty()) return {};
  if (fs::is_regular_file(written, ignored)) return fs::absolute(written);
  if (fs::is_regular_file(folder_ / written, ignored)) return folder_ / written;
  std::string slashes = written;
  std::replace(slashes.begin(), slashes.end(), '\\', '/');
  if (slashes != written) return find_file(slashes);
  return find_like(fs::path(written).is_absolute() ? fs::path(written) : folder_ / written);
}

fs::path ImportCollector::find_like(const fs::path& file) const {
  std::error_code ignored;
  if (fs::is_regular_file(file, ignored)) return file;
  const fs::path folder = file.parent_path();
  const auto [listed, is_new] = folders_.try_emplace(folder);
  if (is_new && fs::is_directory(folder, ignored)) {
    for (const auto& entry : fs::directory_iterator(folder, ignored)) {
      if (!entry.is_regular_file(ignored)) continue;
      const auto [name, first] =
          listed->second.try_emplace(fold_name(entry.path().filename().string()), entry.path());
      if (!first) name->second.clear();
    }
  }
  const auto found = listed->second.find(fold_name(file.filename().string()));
  return found == listed->second.end() ? fs::path() : found->second;
}

std::string ImportCollector::row_path(const std::string& written, const fs::path& found) const {
  return found.empty() || fs::absolute(written) == found ? written : found.string();
}

bool ImportCollector::claim(const std::string& id, const std::string& where) {
  if (!is_valid_utf8(id)) throw DataError("the name is not UTF-8", where, "rename the file");
  const auto [first, is_new] = places_.emplace(id, where);
  if (is_new) return true;
  set_.rejected.push_back({where, where,
                           "the id '" + id + "' stands at " + first->second +
                               " already: give each its own id or file name",
                           "row_malformed"});
  return false;
}

void ImportCollector::reject(const std::string& id, const std::string& where,
                             const std::string& reason, const std::string& guard) {
  if (claim(id, where)) set_.rejected.push_back({id, where, reason, guard});
}

void ImportCollector::add(Utterance row) {
  if (row.speaker.empty()) row.speaker = defaults_.speaker;
  if (row.instruct.empty()) row.instruct = defaults_.instruct;
  row.folder = folder_;
  if (!row.reference.empty()) {
    row.reference_path = find_file(row.reference);
  } else if (const fs::path given = reference_of(defaults_.reference, row.speaker);
             !given.empty()) {
    row.reference = given.string();
    row.reference_path = fs::absolute(given);
  }
  // Rows that upstream's tools prepared bring their codes; nothing reads their recordings any more.
  const bool encoded =
      std::any_of(defaults_.encoded_keys.begin(), defaults_.encoded_keys.end(),
                  [&row](const std::string& key) { return row.row.contains(key); });
  const bool nameless = row.audio.empty() && row.id == row.where;
  if (row.audio_path.empty() && !row.part && (!encoded || nameless)) {
    const std::string what = row.audio.empty() ? "no audio is named" : row.audio + " is not there";
    return reject(row.id, row.where, what, "audio_missing");
  }
  if (trim(row.text).empty() && !encoded) return reject(row.id, row.where, "no text", "text_empty");
  if (!row.reference.empty() && row.reference_path.empty()) {
    return reject(row.id, row.where, "the reference " + row.reference + " is not there",
                  "audio_missing");
  }
  if (!claim(row.id, row.where)) return;
  if (!is_valid_utf8(row.audio_path.string())) {
    throw DataError("the path is not UTF-8", row.where, "rename the file");
  }

  // The keys that upstream's trainers look for, where the source has none.
  const auto fill = [&row](const char* key, const std::string& value) {
    if (!value.empty() && !row.row.contains(key)) row.row[key] = value;
  };
  fill("audio", row.audio);
  fill("text", row.text);
  fill("language", row.language);
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
    if (holds_parquet(source)) return import_parquet(source, defaults);
    if (extension == ".list") return import_list(source, defaults);
    if (extension == ".csv" || extension == ".txt" || extension == ".tsv")
      return import_table(source, defaults);
    throw DataError("the format of data.source is not known", source.string(), kFormats);
  }
  if (fs::exists(source / "metadata.csv")) return import_table(source / "metadata.csv", defaults);
  if (fs::exists(source / "metadata.jsonl"))
    return import_jsonl(source / "metadata.jsonl", defaults);
  if (fs::exists(source / "wav.scp")) return import_kaldi(source, defaults);
  if (holds_shards(source)) return import_shards(source, defaults);
  if (holds_manifests(source)) return import_manifests(source, defaults);
  if (holds_parquet(source)) return import_parquet(source, defaults);
  if (const auto parts = metadata_folders(source); !parts.empty())
    return import_parts(parts, defaults);
  if (holds_audio(source)) return import_audio_folder(source, defaults);
  if (holds_protos(source)) return import_protos(source, defaults);
  if (holds_cache(source)) return import_cache(source, defaults);
  throw DataError("no data set in this folder", source.string(), kFormats);
}

}  // namespace ttsft
