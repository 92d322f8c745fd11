#include "src/prep/content_key.h"

#include "ttsft/core/hash.h"

namespace ttsft {

ContentKeys::ContentKeys(const std::string& model, const std::string& fingerprint,
                         const AudioLimits& limits) {
  Hasher hasher;
  hasher.add(model).add(fingerprint).add(std::to_string(limits.sample_rate));
  hasher.add(std::to_string(limits.min_seconds)).add(std::to_string(limits.max_seconds));
  common_ = hasher.hex();
}

std::string ContentKeys::key(const Utterance& utterance, bool with_audio,
                             const std::string& content) const {
  Hasher hasher;
  hasher.add(common_).add(utterance.id).add(utterance.text).add(utterance.speaker);
  hasher.add(utterance.language).add(utterance.instruct).add(utterance.reference);
  // Every field of the source row goes into the prepared one, so every field counts.
  hasher.add(utterance.row.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
  hasher.add(utterance.reference_path.empty() ? "" : reference_hash(utterance.reference_path));
  if (!content.empty()) hasher.add(content);
  hasher.add(with_audio ? hash_file(utterance.audio_path) : "");
  return hasher.hex();
}

std::string ContentKeys::reference_hash(const std::filesystem::path& file) const {
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = references_.find(file); found != references_.end()) return found->second;
  }
  std::string hash = hash_file(file);
  const std::lock_guard lock(mutex_);
  return references_.emplace(file, std::move(hash)).first->second;
}

}  // namespace ttsft
