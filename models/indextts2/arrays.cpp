#include "models/indextts2/arrays.h"

#include <algorithm>

#include "ttsft/core/error.h"
#include "ttsft/core/file_name.h"
#include "ttsft/io/atomic_file.h"
#include "ttsft/io/json_reader.h"
#include "ttsft/io/npy.h"
#include "ttsft/nn/rng.h"
#include "ttsft/nn/weights.h"

namespace ttsft::indextts2 {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char* kAgain = "run ttsft prep again";

void write_array(const fs::path& file, const torch::Tensor& values) {
  fs::create_directories(file.parent_path());
  write_npy(file, view_tensor("", values.detach().to(torch::kCPU).contiguous()),
            Durability::kRename);
}

std::shared_ptr<const NpyFile> open_array(const fs::path& file) {
  if (!fs::exists(file)) throw DataError("a prepared array is gone", file.string(), kAgain);
  return NpyFile::open(file);
}

std::vector<int64_t> read_ids(const fs::path& path, const std::string& what, int64_t vocabulary,
                              int64_t limit, std::optional<int64_t> first) {
  const auto fail = [&](const std::string& wrong, const std::string& remedy) {
    throw DataError(wrong, path.string(), remedy);
  };
  const auto file = open_array(path);
  const TensorView& array = file->array();
  if (array.shape.size() != 1 || (array.dtype != DType::kI32 && array.dtype != DType::kI64))
    fail(what + " must be integers [n], is " + shape_text(array.shape), kAgain);
  const torch::Tensor ids = copy_tensor(array).to(torch::kInt64);
  const int64_t count = std::min(ids.size(0), first.value_or(ids.size(0)));
  if (count < 1) fail("no " + what, "remove the clip");
  if (count > limit)
    fail(std::to_string(count) + " " + what + ", the model has places for " + std::to_string(limit),
         "cut the clip");
  std::vector<int64_t> values(ids.data_ptr<int64_t>(), ids.data_ptr<int64_t>() + count);
  const auto wrong = std::find_if(values.begin(), values.end(),
                                  [&](int64_t id) { return id < 0 || id >= vocabulary; });
  if (wrong != values.end())
    fail("an id of the " + what + " is " + std::to_string(*wrong) + ", the checkpoint has " +
             std::to_string(vocabulary),
         "the set was prepared for another checkpoint; run ttsft prep again");
  return values;
}

torch::Tensor read_floats(const fs::path& path, const Shape& shape) {
  const auto file = open_array(path);
  const TensorView& array = file->array();
  if (array.shape != shape)
    throw DataError(
        "the array is " + shape_text(array.shape) + ", the model takes " + shape_text(shape),
        path.string(), "the set was prepared for another checkpoint; " + std::string(kAgain));
  const torch::Tensor values = copy_tensor(array).to(torch::kFloat32);
  if (!torch::isfinite(values).all().item<bool>())
    throw DataError("the array holds values that are not finite", path.string(), kAgain);
  return values;
}

std::string text_of(const Json& row, const std::string& key, const std::string& where) {
  if (!row.contains(key) || !row[key].is_string())
    throw DataError("the row has no " + key, where, kAgain);
  return row[key].get<std::string>();
}

std::optional<int64_t> count_of(const Json& row, const std::string& key) {
  if (!row.contains(key) || !row[key].is_number_integer()) return std::nullopt;
  return row[key].get<int64_t>();
}

}  // namespace

ArrayFiles array_files(const std::string& id) {
  const std::string name = file_name_of(id) + ".npy";
  return {fs::path("codes") / name, fs::path("text_ids") / name, fs::path("condition") / name,
          fs::path("emo_vec") / name};
}

void write_ids(const fs::path& file, const torch::Tensor& ids) {
  write_array(file, ids.to(torch::kInt32));
}

void write_floats(const fs::path& file, const torch::Tensor& values) {
  write_array(file, values.to(torch::kFloat32));
}

std::vector<int64_t> read_text_ids(const fs::path& file, const GptConfig& config,
                                   std::optional<int64_t> first) {
  return read_ids(file, "text ids", config.text_vocabulary, config.max_text_tokens, first);
}

std::vector<int64_t> read_codes(const fs::path& file, const GptConfig& config,
                                std::optional<int64_t> first) {
  return read_ids(file, "codes", config.start_mel_token, config.max_mel_tokens, first);
}

torch::Tensor read_condition(const fs::path& file, const GptConfig& config) {
  return read_floats(file, {config.speaker.latents, config.model_dim});
}

torch::Tensor read_emotion(const fs::path& file, const GptConfig& config) {
  return read_floats(file, {config.model_dim});
}

int64_t count_ids(const fs::path& file) {
  return shape_size(open_array(file)->array().shape);
}

void write_speakers(const fs::path& file, const SpeakerPrompts& speakers) {
  Json json = Json::object();
  for (const auto& [name, clips] : speakers) {
    Json list = Json::array();
    for (const PromptFiles& clip : clips)
      list.push_back({{"id", clip.id},
                      {"condition", clip.condition.string()},
                      {"emo_vec", clip.emotion.string()}});
    json[name] = std::move(list);
  }
  write_text_atomic(file, Json{{"clips", std::move(json)}}.dump(1) + "\n");
}

SpeakerPrompts read_speakers(const fs::path& file) {
  const Json json = read_json_object(file);
  SpeakerPrompts speakers;
  try {
    for (const auto& [name, clips] : json.at("clips").items()) {
      for (const Json& clip : clips)
        speakers[name].add({clip.at("id").get<std::string>(),
                            clip.at("condition").get<std::string>(),
                            clip.at("emo_vec").get<std::string>()});
    }
  } catch (const nlohmann::json::exception&) {
    throw DataError("does not list the clips of each speaker", file.string(), kAgain);
  }
  return speakers;
}

std::vector<PromptFiles> choose_prompts(const ClipList<PromptFiles>& clips, const std::string& id,
                                        int64_t count, uint64_t seed) {
  const auto draw = [&](int64_t i) {
    return derive_seed(seed, "prompt " + std::to_string(i) + " of " + id);
  };
  std::vector<PromptFiles> chosen;
  for (const size_t place : clips.others(id, count, draw)) chosen.push_back(clips[place]);
  return chosen;
}

RowKind row_kind(const nlohmann::ordered_json& row) {
  if (row.contains("target_codes_path")) return RowKind::kPair;
  return row.contains("codes_path") ? RowKind::kEncoded : RowKind::kRecording;
}

std::vector<std::string> path_keys(RowKind kind) {
  switch (kind) {
    case RowKind::kRecording:
      return {};
    case RowKind::kEncoded:
      return {"codes_path", "text_ids_path", "condition_path", "emo_vec_path"};
    case RowKind::kPair:
      return {"target_codes_path", "target_text_ids_path", "prompt_condition_path",
              "prompt_emo_vec_path", "target_emo_vec_path"};
  }
  throw std::logic_error("path_keys: unlisted kind of row");
}

ItemFiles item_files(const nlohmann::ordered_json& row, const std::string& where) {
  const auto path = [&](const char* key) { return fs::path(text_of(row, key, where)); };
  ItemFiles files;
  if (row_kind(row) == RowKind::kPair) {
    files.codes = path("target_codes_path");
    files.text_ids = path("target_text_ids_path");
    files.code_count = count_of(row, "target_code_len");
    files.text_count = count_of(row, "target_text_len");
    files.condition = path("prompt_condition_path");
    // Older manifests know the target's emotion alone.
    files.emotion =
        path(row.contains("prompt_emo_vec_path") && row["prompt_emo_vec_path"].is_string()
                 ? "prompt_emo_vec_path"
                 : "target_emo_vec_path");
    return files;
  }
  files.codes = path("codes_path");
  files.text_ids = path("text_ids_path");
  files.code_count = count_of(row, "code_len");
  files.text_count = count_of(row, "text_len");
  files.condition = path("condition_path");
  files.emotion = path("emo_vec_path");
  return files;
}

}  // namespace ttsft::indextts2
