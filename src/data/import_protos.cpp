// Fish Speech's packed sets: .protos files, each a stream of length-prefixed TextData messages, one
// for each speaker. Upstream: fish_speech/datasets/protos/text-data.proto, tools/llama/
// build_dataset.py.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <stdexcept>

#include "import.h"
#include "ttsft/core/error.h"
#include "ttsft/core/log.h"
#include "ttsft/core/strings.h"
#include "ttsft/io/mapped_file.h"
#include "ttsft/io/wire.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;
using Bytes = std::span<const std::byte>;

// Fields of TextData and of Sentence.
constexpr uint32_t kName = 2, kSentences = 4, kTexts = 1, kSemantics = 3, kValues = 1;

bool is_protos(const fs::path& file) {
  const std::string extension = to_lower_ascii(file.extension().string());
  return (extension == ".protos" || extension == ".proto") && fs::is_regular_file(file);
}

std::vector<int64_t> level_of(Bytes semantics) {
  std::vector<int64_t> values;
  for (WireReader reader(semantics); reader.next();) {
    if (reader.field() != kValues) continue;
    if (!reader.is_bytes()) {
      values.push_back(static_cast<int64_t>(reader.number()));  // not packed
      continue;
    }
    const std::vector<int64_t> more = packed_integers(reader.bytes());
    values.insert(values.end(), more.begin(), more.end());
  }
  return values;
}

class Shard {
 public:
  Shard(const fs::path& file, ImportCollector& rows) : file_(file), rows_(rows) {}

  // The number of sentences with more than one text, of which the first is taken.
  int64_t read() {
    const MappedFile mapped(file_);
    Bytes rest = mapped.bytes();
    try {
      while (!rest.empty()) speaker(record(rest));
    } catch (const Error&) {
      throw;
    } catch (const std::runtime_error& error) {
      throw DataError("not a packed set of Fish Speech's tools (" + std::string(error.what()) + ")",
                      file_.string(), "pack it anew, or name the folder with .lab and .npy files");
    }
    return several_;
  }

 private:
  // Takes the next record off the front.
  static Bytes record(Bytes& rest) {
    uint32_t size = 0;  // little-endian
    if (rest.size() < sizeof size) throw std::runtime_error("it ends inside a length");
    std::memcpy(&size, rest.data(), sizeof size);
    if (rest.size() - sizeof size < size) throw std::runtime_error("it ends inside a record");
    const Bytes message = rest.subspan(sizeof size, size);
    rest = rest.subspan(sizeof size + size);
    return message;
  }

  void speaker(Bytes message) {
    std::string name;
    std::vector<Bytes> sentences;
    for (WireReader reader(message); reader.next();) {
      if (reader.field() == kName) name = reader.text();
      if (reader.field() == kSentences) sentences.push_back(reader.bytes());
    }
    for (const Bytes sentence_bytes : sentences) sentence(sentence_bytes, name);
  }

  void sentence(Bytes message, const std::string& speaker) {
    std::vector<std::string> texts;
    nlohmann::ordered_json codes = nlohmann::ordered_json::array();
    for (WireReader reader(message); reader.next();) {
      if (reader.field() == kTexts) texts.push_back(reader.text());
      if (reader.field() == kSemantics) codes.push_back(level_of(reader.bytes()));
    }
    several_ += texts.size() > 1;
    char id[32];
    std::snprintf(id, sizeof id, "-%05lld", static_cast<long long>(++number_));
    Utterance row;
    row.id = file_.stem().string() + id;  // the form has none
    row.where = file_.filename().string() + " sentence " + std::to_string(number_);
    row.text = texts.empty() ? "" : texts.front();
    row.speaker = speaker;
    row.row["speaker"] = speaker;
    row.row["codes"] = std::move(codes);
    if (trim(row.text).empty()) return rows_.reject(row.id, row.where, "no text", "text_empty");
    rows_.add(std::move(row));
  }

  fs::path file_;
  ImportCollector& rows_;
  int64_t number_ = 0, several_ = 0;
};

// The file itself, or those in the folder, by name.
std::vector<fs::path> protos_in(const fs::path& source) {
  std::vector<fs::path> files;
  if (is_protos(source)) files.push_back(source);
  if (!fs::is_directory(source)) return files;
  for (const auto& entry : fs::directory_iterator(source))
    if (is_protos(entry.path())) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

bool holds_protos(const fs::path& source) {
  return !protos_in(source).empty();
}

ImportedSet import_protos(const fs::path& source, const ImportDefaults& defaults) {
  const std::vector<fs::path> files = protos_in(source);
  ImportCollector rows("packed .protos", files.front().parent_path(), defaults);
  int64_t several = 0;
  for (const fs::path& file : files) several += Shard(file, rows).read();
  if (several > 0)
    log_warning(several, " sentences have more than one text: the first of each is taken");
  return rows.finish(source);
}

}  // namespace ttsft
