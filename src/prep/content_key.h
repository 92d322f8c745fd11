// What a prepared row depends on, as one hash: equal keys mean that the row need not be made again.
#pragma once

#include <filesystem>
#include <map>
#include <mutex>
#include <string>

#include "ttsft/audio/guards.h"
#include "ttsft/data/utterance.h"

namespace ttsft {

class ContentKeys {
 public:
  // fingerprint: Preparer::fingerprint(). The limits count because findings stand with the row.
  ContentKeys(const std::string& model, const std::string& fingerprint, const AudioLimits& limits);

  // Over the source row (its own codes and paths included), the fields that defaults filled in, the
  // bytes of the reference, and those of the recording when the row needs them. DataError: a file
  // cannot be read. Thread-safe.
  std::string key(const Utterance& utterance, bool with_audio,
                  const std::string& content = {}) const;

 private:
  std::string reference_hash(const std::filesystem::path& file) const;

  std::string common_;
  mutable std::mutex mutex_;
  mutable std::map<std::filesystem::path, std::string> references_;  // one file serves many rows
};

}  // namespace ttsft
