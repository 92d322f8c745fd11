#include "models/cosyvoice3/upstream_files.h"

#include <map>

#include "models/cosyvoice3/rows.h"
#include "ttsft/core/error.h"
#include "ttsft/core/log.h"
#include "ttsft/core/strings.h"
#include "ttsft/io/atomic_file.h"
#include "ttsft/io/parquet.h"
#include "ttsft/io/torch_file.h"

namespace ttsft::cosyvoice3 {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kRowsPerShard = 1000;

struct Speaker {
  std::vector<std::string> clips;
  std::vector<double> mean;  // of the clips' vectors, plain
};

std::string one_line(std::string text) {
  for (char& c : text) {
    if (c == '\n' || c == '\r' || c == '\t') c = ' ';
  }
  return text;
}

std::string field(const nlohmann::ordered_json& row, const char* key) {
  return row.contains(key) && row[key].is_string() ? row[key].get<std::string>() : "";
}

std::string speaker_of(const nlohmann::ordered_json& row) {
  const std::string speaker = field(row, "speaker");
  return speaker.empty() ? "speaker" : speaker;
}

template <typename Number>
TorchValue list_of(const std::vector<Number>& values) {
  TorchValue::List list;
  for (const Number value : values) list.push_back({value});
  return {list};
}

std::map<std::string, Speaker> speakers_of(const PreparedRows& rows, const LmConfig& config) {
  std::map<std::string, Speaker> speakers;
  for (const PreparedRow& row : rows) {
    Speaker& speaker = speakers[speaker_of(row.row)];
    const EncodedClip clip = read_encoded(row.row, config, "utterance " + row.id);
    speaker.mean.resize(clip.embedding.size());
    for (size_t i = 0; i < clip.embedding.size(); ++i) speaker.mean[i] += clip.embedding[i];
    speaker.clips.push_back(row.id);
  }
  for (auto& [name, speaker] : speakers) {
    for (double& value : speaker.mean) value /= static_cast<double>(speaker.clips.size());
  }
  return speakers;
}

void write_tables(const fs::path& folder, const PreparedRows& rows,
                  const std::map<std::string, Speaker>& speakers, const LmConfig& config) {
  std::map<std::string, std::string> tables;
  TorchValue::Dict codes, vectors, means;
  for (const PreparedRow& row : rows) {
    const auto put = [&](const char* table, const std::string& value) {
      tables[table] += row.id + " " + one_line(value) + "\n";
    };
    put("wav.scp", field(row.row, "audio"));
    put("text", field(row.row, "text"));
    put("utt2spk", speaker_of(row.row));
    put("instruct", field(row.row, "instruct"));
    const EncodedClip clip = read_encoded(row.row, config, "utterance " + row.id);
    codes.push_back({row.id, list_of(clip.codes)});
    vectors.push_back({row.id, list_of(clip.embedding)});
  }
  for (const auto& [name, speaker] : speakers) {
    tables["spk2utt"] += name + " " + join(speaker.clips, " ") + "\n";
    means.push_back({name, list_of(speaker.mean)});
  }
  for (const auto& [name, text] : tables) write_text_atomic(folder / name, text);
  write_torch_file(folder / "utt2speech_token.pt", {codes});
  write_torch_file(folder / "utt2embedding.pt", {vectors});
  write_torch_file(folder / "spk2embedding.pt", {means});
}

std::unique_ptr<ParquetWriter> open_shard(const fs::path& file) {
  using Kind = ParquetKind;
  return std::make_unique<ParquetWriter>(
      file, std::vector<std::pair<std::string, Kind>>{{"utt", Kind::kText},
                                                      {"audio_data", Kind::kBytes},
                                                      {"wav", Kind::kText},
                                                      {"text", Kind::kText},
                                                      {"spk", Kind::kText},
                                                      {"utt_embedding", Kind::kNumbers},
                                                      {"spk_embedding", Kind::kNumbers},
                                                      {"speech_token", Kind::kIntegers},
                                                      {"instruct", Kind::kText}});
}

void write_shards(const fs::path& folder, const PreparedRows& rows,
                  const std::map<std::string, Speaker>& speakers, const LmConfig& config) {
  fs::create_directories(folder);
  std::string list;
  std::unique_ptr<ParquetWriter> shard;
  int64_t written = 0, lost = 0;
  for (const PreparedRow& row : rows) {
    const std::string audio = field(row.row, "audio");
    if (audio.empty() || !fs::is_regular_file(audio)) {
      ++lost;
      continue;
    }
    if (written % kRowsPerShard == 0) {
      if (shard) shard->finish();
      char name[64];
      std::snprintf(name, sizeof name, "parquet_%09d.tar",
                    static_cast<int>(written / kRowsPerShard));
      shard = open_shard(folder / name);
      list += (folder / name).string() + "\n";
    }
    const EncodedClip clip = read_encoded(row.row, config, "utterance " + row.id);
    const std::string speaker = speaker_of(row.row);
    shard->add({row.id, read_text(audio), audio, field(row.row, "text"), speaker, clip.embedding,
                speakers.at(speaker).mean, clip.codes, field(row.row, "instruct")});
    ++written;
  }
  if (shard) shard->finish();
  write_text_atomic(folder / "data.list", list);
  if (lost > 0)
    log_warning(lost, " clips have no recording any more and are not in the shards of ",
                folder.string());
}

}  // namespace

void write_upstream_files(const fs::path& folder, const PreparedRows& rows,
                          const LmConfig& config) {
  fs::create_directories(folder);
  const auto speakers = speakers_of(rows, config);
  write_tables(folder, rows, speakers, config);
  if (parquet_available()) {
    write_shards(folder / "parquet", rows, speakers, config);
  } else {
    log_warning("built without Arrow: ", folder.string(),
                " has no parquet shards, which upstream's trainer reads; ttsft does not");
  }
}

}  // namespace ttsft::cosyvoice3
