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
#include "ttsft/model/recording_preparer.h"

namespace ttsft::chatterbox {

class SpeechPreparer : public RecordingPreparer {
 public:
  explicit SpeechPreparer(const ModelContext& context);

  AudioLimits limits() const override;
  bool needs_audio(const Utterance& utterance) const override {
    return !utterance.row.contains("cache");
  }
  std::string content_hash(const Utterance& utterance) const override;
  bool intact(const nlohmann::ordered_json& row) const override;
  void load(PrepItem& item) const override;
  nlohmann::ordered_json finish(const KeptSet& set, const std::filesystem::path& folder) override;
  std::vector<std::string> set_files() const override;

 private:
  void encode_recordings(std::span<PrepItem* const> items) override;
  void take_encoded(PrepItem& item) override;
  void fill_row(PrepItem& item, const PreparedClip& clip) const;
  std::string main_speaker(const KeptSet& set) const;

  const Options& options_;
  Config config_;
  TextFrontend text_;
  VoiceMaker voices_;
};

}  // namespace ttsft::chatterbox
