// The arrays that upstream's preparation leaves of each utterance, as numpy files:
//   codes/<id>.npy int32 [m], text_ids/<id>.npy int32 [n], condition/<id>.npy float32 [L, D],
//   emo_vec/<id>.npy float32 [D]
// and the prompts that training takes: latents and emotion of another recording of the speaker.
#pragma once

#include <torch/torch.h>

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "models/indextts2/config.h"
#include "ttsft/data/clip_list.h"

namespace ttsft::indextts2 {

struct ArrayFiles {
  std::filesystem::path codes, text_ids, condition, emotion;
};
// Of an utterance that prep encoded, relative to the prepared folder.
ArrayFiles array_files(const std::string& id);

void write_ids(const std::filesystem::path& file, const torch::Tensor& ids);        // [n], as int32
void write_floats(const std::filesystem::path& file, const torch::Tensor& values);  // as float32

// DataError: missing, of another shape or type, an id outside 0..limit-1, none or too many ids, a
// value that is not finite. `first`: only so many ids count (upstream's text_len and code_len).
std::vector<int64_t> read_text_ids(const std::filesystem::path& file, const GptConfig& config,
                                   std::optional<int64_t> first = std::nullopt);
std::vector<int64_t> read_codes(const std::filesystem::path& file, const GptConfig& config,
                                std::optional<int64_t> first = std::nullopt);
torch::Tensor read_condition(const std::filesystem::path& file, const GptConfig& config);
torch::Tensor read_emotion(const std::filesystem::path& file, const GptConfig& config);

// Number of values in a one-dimensional array; reads its header only.
int64_t count_ids(const std::filesystem::path& file);

// Where the prompt's two arrays lie: absolute, or relative to the prepared folder.
struct PromptFiles {
  std::string id;
  std::filesystem::path condition, emotion;
};
inline const std::string& clip_id(const PromptFiles& clip) {
  return clip.id;
}

// speakers.json of the prepared folder: what each speaker's clips can lend, in manifest order.
using SpeakerPrompts = std::map<std::string, ClipList<PromptFiles>>;
void write_speakers(const std::filesystem::path& file, const SpeakerPrompts& speakers);
SpeakerPrompts read_speakers(const std::filesystem::path& file);

// Up to `count` clips other than `id`, the same ones in every run of a seed. Empty when there is no
// other.
std::vector<PromptFiles> choose_prompts(const ClipList<PromptFiles>& clips, const std::string& id,
                                        int64_t count, uint64_t seed);

// A row that upstream's tools encoded. Its paths count from the manifest's folder.
enum class RowKind {
  kRecording,  // to be encoded
  kEncoded,    // of train_manifest.jsonl: codes_path, text_ids_path, condition_path, emo_vec_path
  kPair,       // of a paired manifest: target_codes_path, ..., prompt_condition_path, ...
};
RowKind row_kind(const nlohmann::ordered_json& row);

// What one training item is made of, from a row of the prepared set. Paths as they stand there.
struct ItemFiles {
  std::filesystem::path codes, text_ids;
  std::optional<int64_t> code_count, text_count;
  std::filesystem::path condition, emotion;  // of kPair: the prompt's; else the clip's own
};
// DataError: a key is missing or no text.
ItemFiles item_files(const nlohmann::ordered_json& row, const std::string& where);
// The keys that name files, in rows of that kind.
std::vector<std::string> path_keys(RowKind kind);

}  // namespace ttsft::indextts2
