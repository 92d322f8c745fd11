#include "sources.h"

#include <algorithm>
#include <set>

#include "ttsft/core/error.h"
#include "ttsft/core/strings.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;

// What FFmpeg takes a voice from.
const std::set<std::string>& extensions() {
  static const std::set<std::string> all = {
      ".wav",  ".flac", ".mp3", ".ogg", ".oga", ".opus", ".m4a", ".m4b",  ".aac", ".wma", ".aif",
      ".aiff", ".w64",  ".caf", ".amr", ".mka", ".mp4",  ".mkv", ".webm", ".mov", ".avi", ".ts"};
  return all;
}

std::string name_below(const fs::path& file, const fs::path& folder) {
  return file.lexically_relative(folder).replace_extension().generic_string();
}

bool is_inside(const fs::path& file, const fs::path& folder) {
  const fs::path relative = file.lexically_relative(folder);
  return !relative.empty() && *relative.begin() != "..";
}

// In order of their paths, hidden ones and what lies in hidden folders left out.
std::vector<fs::path> files_below(const fs::path& folder) {
  std::vector<fs::path> files;
  auto at =
      fs::recursive_directory_iterator(folder, fs::directory_options::skip_permission_denied |
                                                   fs::directory_options::follow_directory_symlink);
  for (; at != fs::recursive_directory_iterator(); ++at) {
    if (at->path().filename().string().starts_with('.')) {
      if (at->is_directory()) at.disable_recursion_pending();
      continue;
    }
    if (at->is_regular_file()) files.push_back(at->path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

FoundRecordings find_recordings(const std::vector<fs::path>& paths, const fs::path& out) {
  FoundRecordings found;
  const fs::path own = fs::weakly_canonical(out);
  const auto take = [&](const fs::path& file, std::string name) {
    if (is_inside(fs::weakly_canonical(file), own)) return;
    if (!extensions().contains(to_lower_ascii(file.extension().string()))) {
      found.others.push_back(file.filename().string());
      return;
    }
    found.recordings.push_back({file, std::move(name)});
  };
  for (const fs::path& path : paths) {
    if (fs::is_directory(path)) {
      for (const fs::path& file : files_below(path)) take(file, name_below(file, path));
    } else if (fs::exists(path)) {
      take(path, path.stem().string());
    } else {
      throw UsageError("no such recording", path.string(), "give a file or a folder of them");
    }
  }
  if (found.recordings.empty())
    throw UsageError("no recording",
                     join(
                         [&] {
                           std::vector<std::string> names;
                           for (const fs::path& path : paths) names.push_back(path.string());
                           return names;
                         }(),
                         ", "),
                     "give wav, flac, mp3, ogg, m4a or video files");
  // "ep.mp3" and "ep.wav", or "a/ep" and "b/ep" of two folders that were given.
  std::set<std::string> names;
  for (SourceRecording& recording : found.recordings) {
    const std::string name = recording.name;
    for (int i = 2; !names.insert(recording.name).second; ++i)
      recording.name = name + "-" + std::to_string(i);
  }
  return found;
}

Transcripts::Transcripts(const fs::path& path, size_t recordings) {
  if (fs::is_regular_file(path)) {
    if (recordings != 1)
      throw UsageError("one transcript for " + std::to_string(recordings) + " recordings",
                       path.string(), "give the folder of their transcripts");
    only_ = path;
    return;
  }
  if (!fs::is_directory(path))
    throw UsageError("no such transcripts", path.string(), "give a folder, or one file");
  if (fs::exists(path / "segments") && fs::exists(path / "text")) {
    kaldi_ = read_kaldi_transcripts(path);
    return;
  }
  for (const fs::path& file : files_below(path)) {
    if (!is_transcript(file)) continue;
    by_name_[name_below(file, path)].push_back(file);
    const std::string stem = file.stem().string();
    by_stem_[stem].push_back(file);
    if (const size_t dot = stem.rfind('.'); dot != std::string::npos && stem.size() - dot <= 6)
      by_stem_[stem.substr(0, dot)].push_back(file);  // "x.en"
  }
  if (by_name_.empty())
    throw UsageError("no transcript", path.string(),
                     "give .srt, .vtt, .TextGrid or .json files, or a Kaldi folder");
}

std::optional<Transcript> Transcripts::of(const SourceRecording& recording) const {
  if (!only_.empty()) return read_transcript(only_);
  const std::string stem = recording.file.stem().string();
  for (const std::string& id : {recording.name, stem})
    if (const auto found = kaldi_.find(id); found != kaldi_.end()) return found->second;
  for (const auto& [table, name] :
       {std::pair(&by_name_, recording.name), std::pair(&by_stem_, stem)}) {
    const auto found = table->find(name);
    if (found == table->end()) continue;
    if (found->second.size() > 1)
      throw UsageError("two transcripts of '" + recording.name + "'",
                       found->second[0].string() + ", " + found->second[1].string(),
                       "leave one of them");
    return read_transcript(found->second.front());
  }
  return std::nullopt;
}

}  // namespace ttsft
