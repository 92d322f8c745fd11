#include "request.h"

#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <map>

#include "ttsft/core/error.h"
#include "ttsft/core/log.h"
#include "ttsft/core/strings.h"
#include "ttsft/io/atomic_file.h"
#include "ttsft/text/split.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;

void check_text(const std::string& text) {
  if (!is_valid_utf8(text)) throw UsageError("the text is not UTF-8", "--text");
  if (trim(text).empty()) throw UsageError("the text is empty", "--text");
}

void check_source(const SynthOptions& options) {
  std::vector<std::string> given;
  if (options.text) given.emplace_back("--text");
  if (!options.texts.empty()) given.emplace_back("--texts");
  if (!options.codes_in.empty()) given.emplace_back("--codes-in");
  if (given.empty()) {
    throw UsageError("nothing to say", "", "give --text, --texts or --codes-in");
  }
  if (given.size() > 1) {
    throw UsageError(join(given, " and ") + " cannot be given together", "", "choose one");
  }
  if (options.text) check_text(*options.text);
}

void check_input_file(const fs::path& file, const char* flag) {
  if (file.empty()) return;
  if (!fs::exists(file)) throw UsageError("no such file", std::string(flag) + " " + file.string());
  if (!fs::is_regular_file(file)) {
    throw UsageError("not a file", std::string(flag) + " " + file.string());
  }
}

// A file is written under another name in the same folder first, so the folder must take it.
void check_writable(const fs::path& folder, const std::string& where) {
  if (!fs::is_directory(folder)) {
    throw UsageError("no such folder: " + folder.string(), where, "create it first");
  }
  if (::access(folder.c_str(), W_OK | X_OK) != 0) {
    throw UsageError("the folder " + folder.string() + " cannot be written", where);
  }
}

fs::path parent_of(const fs::path& path) {
  const fs::path parent = path.parent_path();
  return parent.empty() ? fs::path(".") : parent;
}

void check_output_file(const fs::path& file, const char* flag) {
  const std::string where = std::string(flag) + " " + file.string();
  if (fs::is_directory(file) || !file.has_filename()) {
    throw UsageError("a folder, where a file is to be written", where);
  }
  check_writable(parent_of(file), where);
}

void check_output_folder(const fs::path& given, const char* flag) {
  const fs::path folder = given.has_filename() ? given : given.parent_path();
  const std::string where = std::string(flag) + " " + folder.string();
  if (fs::is_directory(folder)) return check_writable(folder, where);
  if (fs::exists(folder)) {
    throw UsageError("a file, where a folder is wanted", where, "with --texts it is a folder");
  }
  check_writable(parent_of(folder), where);
}

void check_places(const SynthOptions& options) {
  if (options.out.empty()) throw UsageError("no place for the sound", "", "give --out");
  const bool many = !options.texts.empty();
  const auto check = many ? check_output_folder : check_output_file;
  if (options.out != "-") check(options.out, "--out");
  if (options.codes_out.empty()) return;
  check(options.codes_out, "--codes-out");
  if (!many && options.codes_out.lexically_normal() == options.out.lexically_normal()) {
    throw UsageError("--out and --codes-out name the same file", options.out.string());
  }
}

void check_values(const SynthOptions& options) {
  if (options.max_frames && *options.max_frames < 1) {
    throw UsageError("must be 1 or more, is " + std::to_string(*options.max_frames),
                     "--max-frames");
  }
  if (options.lora_scale && !std::isfinite(*options.lora_scale)) {
    throw UsageError("must be a finite number", "--lora-scale");
  }
}

void check_stream(const SynthOptions& options) {
  const bool to_stdout = options.out == "-";
  if (to_stdout && !options.texts.empty())
    throw UsageError("standard output takes one sound", "--out -", "give --text, or a folder");
  if (!options.stream) return;
  if (!options.text)
    throw UsageError("--stream is for one text as it is spoken", "--stream", "give --text");
}

// An id becomes a file name.
bool is_id(const std::string& text) {
  return !text.empty() && text.size() <= 200 && text.front() != '.' &&
         text.find_first_of(" \t/\\") == std::string::npos;
}

std::string numbered(size_t line) {
  char text[24];
  std::snprintf(text, sizeof text, "%04zu", line);
  return text;
}

}  // namespace

void check_flags(const SynthOptions& options) {
  check_source(options);
  check_values(options);
  check_input_file(options.texts, "--texts");
  check_input_file(options.codes_in, "--codes-in");
  check_input_file(options.noise, "--noise");
  if (!options.codes_in.empty() && !options.codes_out.empty()) {
    throw UsageError("--codes-out takes generated codes, and --codes-in generates none", "",
                     "remove one of them");
  }
  if (!options.texts.empty() && !options.noise.empty()) {
    throw UsageError("--noise was recorded for one text", "", "give --text instead of --texts");
  }
  check_stream(options);
  check_places(options);
  if (!options.codes_in.empty() && (options.greedy || options.max_frames)) {
    log_warning("--greedy and --max-frames have no effect with --codes-in");
  }
}

std::vector<TextLine> read_texts(const fs::path& file) {
  std::vector<TextLine> lines;
  std::map<std::string, size_t> seen;
  size_t number = 0;
  std::string content = read_text(file);
  if (content.starts_with("\xEF\xBB\xBF")) content.erase(0, 3);
  for (const std::string& raw : split(content, '\n')) {
    const std::string where = file.string() + " line " + std::to_string(++number);
    if (!is_valid_utf8(raw)) throw DataError("not UTF-8", where);
    const std::string line = trim(raw);
    if (line.empty()) continue;
    TextLine found{numbered(number), line};
    const size_t bar = line.find('|');
    if (bar != std::string::npos && is_id(trim(line.substr(0, bar)))) {
      found = {trim(line.substr(0, bar)), trim(line.substr(bar + 1))};
      if (found.text.empty()) throw DataError("no text behind the id", where);
    }
    const auto [other, fresh] = seen.emplace(found.id, number);
    if (!fresh) {
      throw DataError(
          "the id " + found.id + " stands in line " + std::to_string(other->second) + " already",
          where, "ids name the files, so they must differ");
    }
    lines.push_back(std::move(found));
  }
  if (lines.empty()) throw DataError("no text in the file", file.string());
  return lines;
}

std::vector<SynthJob> make_jobs(const SynthOptions& options) {
  if (options.texts.empty()) {
    return {{"", options.text.value_or(""), options.out, options.codes_out}};
  }
  std::vector<SynthJob> jobs;
  for (TextLine& line : read_texts(options.texts)) {
    SynthJob job{line.id, std::move(line.text), options.out / (line.id + ".wav"), {}};
    if (!options.codes_out.empty()) job.codes_out = options.codes_out / (line.id + ".safetensors");
    jobs.push_back(std::move(job));
  }
  return jobs;
}

}  // namespace ttsft
