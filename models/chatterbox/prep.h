// Recordings to what T3 learns from: speech codes, text ids, a speaker vector and prompt codes per
// clip, once, where upstream's community trainers compute them twice per clip and epoch.
// Formats: clips.h. Source: specification sections 4 to 9; chatterbox 0.1.7, tts.py.
#pragma once

#include <memory>

#include "models/chatterbox/clips.h"
#include "models/chatterbox/length_report.h"
#include "models/chatterbox/options.h"
#include "models/chatterbox/text.h"
#include "models/chatterbox/voice.h"
#include "ttsft/model/adapter.h"

namespace ttsft::chatterbox {

class SpeechPreparer : public Preparer {
 public:
  explicit SpeechPreparer(const ModelContext& context);

  std::string fingerprint() const override { return fingerprint_; }
  AudioLimits limits() const override;
  bool needs_audio(const Utterance& utterance) const override {
    return !utterance.row.contains("cache");
  }
  std::string content_hash(const Utterance& utterance) const override;
  bool intact(const nlohmann::ordered_json& row) const override;
  void load(PrepItem& item) const override;
  int64_t length(const PrepItem& item) const override {
    return static_cast<int64_t>(item.wave.size());
  }
  void encode(std::span<PrepItem*> batch) override;
  int64_t batch_budget() const override;
  nlohmann::ordered_json finish(const std::vector<Utterance>& rows,
                                const std::filesystem::path& folder) override;

 private:
  std::vector<PreparedClip> encode_audio(std::span<PrepItem* const> items);
  void store(PrepItem& item, const PreparedClip& clip) const;
  std::string choose_voice(const std::vector<Utterance>& rows,
                           const std::vector<ClipLengths>& lengths) const;

  const RunConfig& run_;
  const Options& options_;
  Config config_;
  TextFrontend text_;
  torch::Device device_;
  std::string fingerprint_;
  VoiceMaker voices_;
};

}  // namespace ttsft::chatterbox
