// Recordings to what the GPT learns from, in one pass where upstream has five scripts: semantic
// codes, text ids, the latents and the emotion vector that a clip lends as a prompt. Formats:
// arrays.h and manifests.h. Source: instavar/indextts2-finetuning, preprocess_dataset and
// build_pairs (specification sections 4, 5, 6 and 9).
#pragma once

#include <memory>
#include <set>

#include "models/indextts2/arrays.h"
#include "models/indextts2/options.h"
#include "models/indextts2/repcodec.h"
#include "models/indextts2/text.h"
#include "models/indextts2/w2v_bert.h"
#include "models/indextts2/weights.h"
#include "ttsft/model/adapter.h"

namespace ttsft::indextts2 {

// Whitespace of other scripts to spaces, "Speaker 1:" taken off, ends stripped: upstream's
// clean_text.
std::string clean_text(const std::string& text);

class SpeechPreparer : public Preparer {
 public:
  explicit SpeechPreparer(const ModelContext& context);
  ~SpeechPreparer() override;

  std::string fingerprint() const override { return fingerprint_; }
  AudioLimits limits() const override;
  bool needs_audio(const Utterance& utterance) const override {
    return row_kind(utterance.row) == RowKind::kRecording;
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
  struct Encoders;
  Encoders& encoders();
  void encode_recordings(std::span<PrepItem* const> items);
  std::filesystem::path source_path(const nlohmann::ordered_json& row,
                                    const std::string& key) const;
  void check_encoded(PrepItem& item) const;
  std::set<std::string> validation_of(const std::vector<Utterance>& rows) const;

  const RunConfig& run_;
  const Options& options_;
  Config config_;
  TextFrontend text_;
  torch::Device device_;
  std::string fingerprint_;
  std::unique_ptr<Encoders> encoders_;  // of recordings, made at the first need
};

}  // namespace ttsft::indextts2
