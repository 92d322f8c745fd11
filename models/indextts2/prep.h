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
#include "ttsft/model/recording_preparer.h"

namespace ttsft::indextts2 {

// Whitespace of other scripts to spaces, "Speaker 1:" taken off, ends stripped: upstream's
// clean_text.
std::string clean_text(const std::string& text);

class SpeechPreparer : public RecordingPreparer {
 public:
  explicit SpeechPreparer(const ModelContext& context);
  ~SpeechPreparer() override;

  AudioLimits limits() const override;
  bool needs_audio(const Utterance& utterance) const override {
    return row_kind(utterance.row) == RowKind::kRecording;
  }
  std::string content_hash(const Utterance& utterance) const override;
  bool intact(const nlohmann::ordered_json& row) const override;
  void load(PrepItem& item) const override;
  nlohmann::ordered_json finish(const KeptSet& set, const std::filesystem::path& folder) override;
  std::vector<std::string> set_files() const override {
    return {"codes", "text_ids", "condition", "emo_vec", "speakers.json"};
  }

 private:
  struct Encoders;
  Encoders& encoders();
  void encode_recordings(std::span<PrepItem* const> items) override;
  void take_encoded(PrepItem&) override {}  // load() did
  std::filesystem::path source_path(const Utterance& utterance, const std::string& key) const;
  std::pair<torch::Tensor, torch::Tensor> lend(const std::vector<SpeechFeatures>& features);
  void fill_row(PrepItem& item, const torch::Tensor& codes, const torch::Tensor& condition,
                const torch::Tensor& emotion) const;
  void check_encoded(PrepItem& item) const;

  const Options& options_;
  Config config_;
  TextFrontend text_;
  std::unique_ptr<Encoders> encoders_;  // of recordings, made at the first need
};

}  // namespace ttsft::indextts2
