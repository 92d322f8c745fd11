#include "models/indextts2/manifests.h"

#include "ttsft/io/atomic_file.h"

namespace ttsft::indextts2 {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

// Upstream strips all leading dots and slashes of the path it was given.
std::string manifest_audio(const Utterance& row) {
  const size_t first = row.audio.find_first_not_of("./");
  return first == std::string::npos ? "" : row.audio.substr(first);
}

Json duration_of(const Utterance& row) {
  return row.row.contains("duration") ? row.row["duration"] : Json();
}

struct Clip {
  const Utterance* row;
  ArrayFiles files;
  int64_t text_len, code_len;
};

Json clip_line(const Clip& clip, const ManifestOptions& options) {
  const Utterance& row = *clip.row;
  return {{"id", row.id},
          {"audio_path", manifest_audio(row)},
          {"text", row.text},
          {"speaker", row.speaker},
          {"language", row.language},
          {"duration", duration_of(row)},
          {"text_ids_path", clip.files.text_ids.string()},
          {"text_len", clip.text_len},
          {"codes_path", clip.files.codes.string()},
          {"code_len", clip.code_len},
          {"condition_path", clip.files.condition.string()},
          {"condition_len", options.condition_length},
          {"emo_vec_path", clip.files.emotion.string()}};
}

Json pair_line(const Clip& target, const Clip& prompt, const ManifestOptions& options) {
  return {{"id", target.row->id + "__" + prompt.row->id},
          {"speaker", target.row->speaker},
          {"prompt_id", prompt.row->id},
          {"prompt_audio_path", manifest_audio(*prompt.row)},
          {"prompt_condition_path", prompt.files.condition.string()},
          {"prompt_condition_len", options.condition_length},
          {"prompt_emo_vec_path", prompt.files.emotion.string()},
          {"prompt_duration", duration_of(*prompt.row)},
          {"target_id", target.row->id},
          {"target_audio_path", manifest_audio(*target.row)},
          {"target_text", target.row->text},
          {"target_text_ids_path", target.files.text_ids.string()},
          {"target_text_len", target.text_len},
          {"target_codes_path", target.files.codes.string()},
          {"target_code_len", target.code_len},
          {"target_emo_vec_path", target.files.emotion.string()}};
}

}  // namespace

nlohmann::ordered_json write_manifests(const std::vector<Utterance>& rows,
                                       const SpeakerPrompts& speakers,
                                       const std::filesystem::path& folder,
                                       const ManifestOptions& options) {
  std::map<std::string, Clip> clips;
  for (const Utterance& row : rows) {
    const ArrayFiles files = array_files(row.id);
    clips[row.id] = {&row, files, count_ids(folder / files.text_ids),
                     count_ids(folder / files.codes)};
  }
  std::string lines[2], pairs[2];  // training, validation
  int64_t counts[2] = {0, 0}, pair_count = 0;
  for (const Utterance& row : rows) {
    const Clip& clip = clips.at(row.id);
    const size_t side = options.validation.count(row.id);
    lines[side] += clip_line(clip, options).dump() + "\n";
    ++counts[side];
    const auto lenders = speakers.find(row.speaker);
    if (lenders == speakers.end()) continue;
    for (const PromptFiles& prompt :
         choose_prompts(lenders->second, row.id, options.pairs, options.seed)) {
      const auto lender = clips.find(prompt.id);
      if (lender == clips.end()) continue;  // encoded elsewhere: not of this folder
      pairs[side] += pair_line(clip, lender->second, options).dump() + "\n";
      ++pair_count;
    }
  }
  write_text_atomic(folder / "train_manifest.jsonl", lines[0]);
  write_text_atomic(folder / "val_manifest.jsonl", lines[1]);
  write_text_atomic(folder / "gpt_pairs_train.jsonl", pairs[0]);
  write_text_atomic(folder / "gpt_pairs_val.jsonl", pairs[1]);
  const Json stats = {{"total", counts[0] + counts[1]},
                      {"train", counts[0]},
                      {"val", counts[1]},
                      {"tokenizer", options.tokenizer},
                      {"gpt_checkpoint", options.gpt_checkpoint}};
  write_text_atomic(folder / "stats.json", stats.dump(2));
  return {{"clips", counts[0] + counts[1]}, {"pairs", pair_count}};
}

}  // namespace ttsft::indextts2
