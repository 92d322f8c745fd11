#include "models/chatterbox/clips.h"

#include <algorithm>

#include "ttsft/core/error.h"
#include "ttsft/core/file_name.h"
#include "ttsft/core/hash.h"
#include "ttsft/io/atomic_file.h"
#include "ttsft/io/json_reader.h"
#include "ttsft/io/safetensors.h"
#include "ttsft/io/torch_file.h"
#include "ttsft/nn/rng.h"
#include "ttsft/nn/weights.h"

namespace ttsft::chatterbox {
namespace {

namespace fs = std::filesystem;

constexpr const char* kAgain = "run ttsft prep again";
constexpr const char* kHashKey = "recording_hash";

torch::Tensor vector_of(const TensorFile& file, const std::string& name, torch::Dtype type) {
  return copy_tensor(file.at(name)).to(type).flatten();
}

TorchValue tensor_value(const std::string& name, const torch::Tensor& tensor) {
  return {view_tensor(name, tensor)};
}

}  // namespace

fs::path clip_file(const std::string& id) {
  return fs::path("clips") / (file_name_of(id) + ".safetensors");
}

fs::path cache_file(const std::string& id) {
  return fs::path("cache") / (file_name_of(id) + ".pt");
}

void write_clip(const fs::path& file, const PreparedClip& clip) {
  fs::create_directories(file.parent_path());
  save_tensors(file,
               {{"speech_codes", clip.speech_codes},
                {"text_ids", clip.text_ids},
                {"speaker_emb", clip.speaker_emb},
                {"prompt_tokens", clip.prompt_tokens},
                {"cond_prompt_speech_tokens", clip.cond_prompt_speech_tokens}},
               {{"format", "pt"}}, Durability::kRename);
}

PreparedClip read_clip(const fs::path& path) {
  if (!fs::exists(path)) throw DataError("the prepared clip is gone", path.string(), kAgain);
  const SafetensorsReader file = SafetensorsReader::open(path);
  return {vector_of(file, "speech_codes", torch::kInt64),
          vector_of(file, "text_ids", torch::kInt64),
          vector_of(file, "speaker_emb", torch::kFloat32),
          vector_of(file, "prompt_tokens", torch::kInt64),
          vector_of(file, "cond_prompt_speech_tokens", torch::kInt64)};
}

void write_cache(const fs::path& file, const PreparedClip& clip) {
  fs::create_directories(file.parent_path());
  const torch::Tensor speech =
      torch::cat({clip.speech_codes, torch::full({1}, kStopSpeech, torch::kInt64)});
  const torch::Tensor text = clip.text_ids.to(torch::kInt32);
  const torch::Tensor speaker = clip.speaker_emb.contiguous();
  const torch::Tensor prompt = clip.prompt_tokens.contiguous();
  TorchValue::Dict dict;
  dict.push_back({"speech_tokens", tensor_value("speech_tokens", speech)});
  dict.push_back({"speaker_emb", tensor_value("speaker_emb", speaker)});
  dict.push_back({"prompt_tokens", tensor_value("prompt_tokens", prompt)});
  dict.push_back({"text_tokens", tensor_value("text_tokens", text)});
  write_torch_file(file, {dict}, nullptr, Durability::kRename);
}

PreparedClip read_cache(const fs::path& path, const T3Config& config) {
  const auto file = TorchFile::open(path);
  PreparedClip clip;
  clip.speech_codes = vector_of(*file, "speech_tokens", torch::kInt64);
  clip.text_ids = vector_of(*file, "text_tokens", torch::kInt64);
  clip.speaker_emb = vector_of(*file, "speaker_emb", torch::kFloat32);
  clip.prompt_tokens = vector_of(*file, "prompt_tokens", torch::kInt64);
  torch::Tensor& codes = clip.speech_codes;
  const auto is = [&codes](int64_t at, int64_t id) {
    return codes.size(0) > 0 && codes[at].item<int64_t>() == id;
  };
  if (is(0, kStartSpeech)) codes = codes.narrow(0, 1, codes.size(0) - 1);
  if (is(codes.size(0) - 1, kStopSpeech)) codes = codes.narrow(0, 0, codes.size(0) - 1);
  codes = codes.contiguous();
  // The cache has no prompt of the first 6 s; the clip's own first codes stand in for it.
  clip.cond_prompt_speech_tokens =
      codes.narrow(0, 0, std::min(codes.size(0), config.speech_cond_prompt_len)).contiguous();
  return clip;
}

void check_clip(const PreparedClip& clip, const T3Config& config, const std::string& where) {
  const auto fail = [&](const std::string& what, const std::string& remedy = kAgain) {
    throw DataError(what, where, remedy);
  };
  if (clip.speech_codes.numel() == 0) fail("no speech codes", "remove the clip");
  if (clip.text_ids.numel() == 0) fail("no text ids", "remove the clip");
  if (clip.prompt_tokens.numel() == 0 || clip.cond_prompt_speech_tokens.numel() == 0)
    fail("no prompt codes");
  if (clip.speaker_emb.numel() != config.speaker_embed_size)
    fail("the speaker vector has " + std::to_string(clip.speaker_emb.numel()) +
         " values, the model takes " + std::to_string(config.speaker_embed_size));
  if (!torch::isfinite(clip.speaker_emb).all().item<bool>())
    fail("the speaker vector is not finite");
  for (const torch::Tensor& codes :
       {clip.speech_codes, clip.prompt_tokens, clip.cond_prompt_speech_tokens}) {
    const int64_t least = codes.min().item<int64_t>(), most = codes.max().item<int64_t>();
    if (least < 0 || most >= kSpeechCodes)
      fail("code " + std::to_string(least < 0 ? least : most) + " is outside 0.." +
           std::to_string(kSpeechCodes - 1));
    if (codes.size(0) > config.max_speech_tokens)
      fail(std::to_string(codes.size(0)) + " speech codes, the model has places for " +
               std::to_string(config.max_speech_tokens),
           "cut the recording");
  }
  const int64_t most = clip.text_ids.max().item<int64_t>();
  if (clip.text_ids.min().item<int64_t>() < 0 || most >= config.text_vocab)
    fail("text id " + std::to_string(most) + " is outside the checkpoint's " +
             std::to_string(config.text_vocab) + " ids",
         "take tokenizer.json and t3_cfg from one release");
  if (clip.text_ids.size(0) > config.max_text_tokens)
    fail(std::to_string(clip.text_ids.size(0)) + " text ids, the model has places for " +
             std::to_string(config.max_text_tokens),
         "cut the clip at a sentence end");
}

void write_speakers(const fs::path& file, const SpeakerClips& speakers) {
  std::map<std::string, std::vector<std::string>> lists;
  for (const auto& [name, clips] : speakers) lists[name] = {clips.begin(), clips.end()};
  const nlohmann::ordered_json json = {{"clips", lists}};
  write_text_atomic(file, json.dump(1) + "\n");
}

SpeakerClips read_speakers(const fs::path& file) {
  const nlohmann::ordered_json json = read_json_object(file);
  SpeakerClips speakers;
  try {
    for (const auto& [name, clips] : json.at("clips").items()) {
      auto& list = speakers[name];
      for (auto& id : clips.get<std::vector<std::string>>()) list.add(std::move(id));
    }
  } catch (const nlohmann::json::exception&) {
    throw DataError("does not list the clips of each speaker", file.string(), kAgain);
  }
  return speakers;
}

std::string choose_other(const ClipList<std::string>& clips, const std::string& id, uint64_t seed) {
  const auto draw = [&](int64_t) { return derive_seed(seed, "condition of " + id); };
  const std::vector<size_t> chosen = clips.others(id, 1, draw);
  return chosen.empty() ? "" : clips[chosen.front()];
}

void write_condition(const fs::path& file, const Condition& condition, const std::string& hash) {
  save_tensors(
      file, {{"speaker_emb", condition.speaker}, {"cond_prompt_speech_tokens", condition.prompt}},
      {{"format", "pt"}, {kHashKey, hash}});
}

Condition read_condition(const fs::path& path, const fs::path& recording) {
  if (!fs::exists(path))
    throw DataError("the set was prepared without the recording of chatterbox.condition",
                    recording.string(), kAgain);
  const SafetensorsReader file = SafetensorsReader::open(path);
  const auto hash = file.metadata().find(kHashKey);
  if (hash == file.metadata().end() || hash->second != hash_file(recording))
    throw DataError("the set was prepared with another recording than chatterbox.condition names",
                    recording.string(), kAgain);
  return {vector_of(file, "speaker_emb", torch::kFloat32),
          vector_of(file, "cond_prompt_speech_tokens", torch::kInt64)};
}

}  // namespace ttsft::chatterbox
