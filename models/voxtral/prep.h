// Recordings to rows of codes: by the codec's encoder, by inversion of its decoder, or as the rows
// bring them. Upstream has no training format; specification section 8.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "models/voxtral/encoding.h"
#include "models/voxtral/text.h"
#include "models/voxtral/voices.h"
#include "ttsft/model/recording_preparer.h"

namespace ttsft::voxtral {

class SpeechPreparer : public RecordingPreparer {
 public:
  explicit SpeechPreparer(const ModelContext& context);

  AudioLimits limits() const override;
  bool needs_audio(const Utterance& utterance) const override;
  std::string content_hash(const Utterance& utterance) const override;
  bool intact(const nlohmann::ordered_json& row) const override;
  void load(PrepItem& item) const override;
  nlohmann::ordered_json finish(const KeptSet& set, const std::filesystem::path& folder) override;
  std::vector<std::string> set_files() const override { return {"references"}; }

 private:
  void encode_recordings(std::span<PrepItem* const> items) override;
  void take_encoded(PrepItem& item) override;
  void fill_row(PrepItem& item, const torch::Tensor& codes, int64_t samples, const char* source);
  std::string encoded_reference(const Utterance& utterance);  // its file in the set; "": none
  bool wants_reference(const Utterance& utterance) const;
  void count_codes(const torch::Tensor& codes);

  const Options& options_;
  Config config_;
  Tokenizer tokenizer_;
  Codec codec_;
  Encoding encoding_;
  std::optional<CodeRecovery> recover_;  // once a row names a voice as its codes
  std::map<std::filesystem::path, std::string> references_;  // files in the set, by recording
  int64_t frames_ = 0, saturated_ = 0;  // of this run: frames, acoustic codes at their ends
  std::vector<bool> used_;              // semantic codes
  double worst_error_ = 0;              // of inversions
};

}  // namespace ttsft::voxtral
