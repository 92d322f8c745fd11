// Recordings and texts to the rows of upstream's training set.
#pragma once

#include <mutex>
#include <set>

#include "models/cosyvoice3/encoders.h"
#include "models/cosyvoice3/options.h"
#include "models/cosyvoice3/rows.h"
#include "models/cosyvoice3/text.h"
#include "ttsft/model/recording_preparer.h"

namespace ttsft::cosyvoice3 {

// Why upstream's filter would drop a clip, which it does without a word; "": it stays.
std::string filtered(const FilterConfig& filter, double seconds, int64_t text_tokens);

class SpeechPreparer : public RecordingPreparer {
 public:
  explicit SpeechPreparer(const ModelContext& context);

  AudioLimits limits() const override;
  bool needs_audio(const Utterance& utterance) const override;
  void load(PrepItem& item) const override;
  nlohmann::ordered_json finish(const KeptSet& set, const std::filesystem::path& folder) override;
  void write_for_upstream(const PreparedSet& set) override;

 protected:
  void encode_recordings(std::span<PrepItem* const> items) override;
  void take_encoded(PrepItem& item) override;

 private:
  void fill_row(PrepItem& item, const EncodedClip& clip) const;

  const Options& options_;
  Config config_;
  TextFrontend text_;
  S3Tokenizer tokenizer_{nullptr};
  Campplus speaker_{nullptr};
};

}  // namespace ttsft::cosyvoice3
