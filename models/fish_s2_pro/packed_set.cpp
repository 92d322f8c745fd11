#include "models/fish_s2_pro/packed_set.h"

#include <algorithm>
#include <cstdio>

#include "models/fish_s2_pro/codes.h"
#include "models/fish_s2_pro/text.h"
#include "ttsft/io/atomic_file.h"
#include "ttsft/io/wire.h"

namespace ttsft::fish_s2_pro {
namespace {

namespace fs = std::filesystem;

constexpr size_t kShardBytes = 10 * 1024 * 1024;
// Fields of TextData, of Sentence and of Semantics.
constexpr uint32_t kSource = 1, kName = 2, kSentences = 4, kTexts = 1, kSemantics = 3, kValues = 1;

std::string field(const PreparedRow& row, const char* key) {
  return row.row.contains(key) && row.row[key].is_string() ? row.row[key].get<std::string>() : "";
}

WireWriter sentence(const PreparedRow& row, const fs::path& codes, const Config& config) {
  WireWriter message;
  message.bytes(kTexts, packed_text(spelled_tags(field(row, "text")), /*keep_tags=*/true));
  const torch::Tensor levels =
      read_codes(codes / field(row, "npy"), config, "utterance " + row.id).t().contiguous();
  for (int64_t k = 0; k < levels.size(0); ++k) {
    WireWriter level;
    level.packed(kValues, {levels[k].data_ptr<int64_t>(), static_cast<size_t>(levels.size(1))});
    message.message(kSemantics, level);
  }
  return message;
}

std::string shard_name(int64_t number) {
  char name[32];
  std::snprintf(name, sizeof name, "%08lld.protos", static_cast<long long>(number));
  return name;
}

// The size as a little-endian uint32, and the message.
std::string record(const WireWriter& message) {
  std::string text;
  for (int shift = 0; shift < 32; shift += 8)
    text += static_cast<char>(message.data().size() >> shift & 0xff);
  return text + message.data();
}

struct Group {
  std::string name;
  std::vector<const PreparedRow*> rows;
};

std::vector<Group> groups_of(const std::vector<PreparedRow>& rows) {
  std::vector<const PreparedRow*> sorted;
  for (const PreparedRow& row : rows) sorted.push_back(&row);
  std::stable_sort(sorted.begin(), sorted.end(), [](const PreparedRow* a, const PreparedRow* b) {
    return field(*a, "audio") < field(*b, "audio");
  });
  std::vector<Group> groups;
  for (const PreparedRow* row : sorted) {
    const std::string name = field(*row, "group");
    auto own = std::find_if(groups.begin(), groups.end(),
                            [&](const Group& group) { return group.name == name; });
    if (own == groups.end()) own = groups.insert(groups.end(), Group{name, {}});
    own->rows.push_back(row);
  }
  return groups;
}

}  // namespace

std::string group_of(const Utterance& utterance) {
  if (!utterance.speaker.empty()) return utterance.speaker;
  const std::string folder = utterance.audio_path.parent_path().filename().string();
  return folder.empty() ? "speaker" : folder;
}

void write_packed(const fs::path& folder, const PreparedRows& rows, const fs::path& codes,
                  const Config& config) {
  remove_folder(folder);  // an earlier set may have had more shards
  fs::create_directories(folder);
  std::vector<PreparedRow> all;
  for (const PreparedRow& row : rows) all.push_back(row);
  int64_t number = 0;
  std::string shard;
  for (const Group& group : groups_of(all)) {
    WireWriter message;
    message.bytes(kSource, "folder");
    message.bytes(kName, group.name);
    for (const PreparedRow* row : group.rows)
      message.message(kSentences, sentence(*row, codes, config));
    shard += record(message);
    if (shard.size() <= kShardBytes) continue;
    write_text_atomic(folder / shard_name(number++), shard);
    shard.clear();
  }
  if (!shard.empty()) write_text_atomic(folder / shard_name(number), shard);
}

}  // namespace ttsft::fish_s2_pro
