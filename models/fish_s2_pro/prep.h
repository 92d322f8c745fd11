// Recordings to upstream's training format: a .npy of codes for each clip, and .protos files.
// Upstream: tools/vqgan/extract_vq.py, tools/llama/build_dataset.py.
#pragma once

#include "models/fish_s2_pro/codec.h"
#include "models/fish_s2_pro/config.h"
#include "models/fish_s2_pro/options.h"
#include "models/fish_s2_pro/text.h"
#include "ttsft/model/recording_preparer.h"

namespace ttsft::fish_s2_pro {

class SpeechPreparer : public RecordingPreparer {
 public:
  explicit SpeechPreparer(const ModelContext& context);

  AudioLimits limits() const override;
  bool needs_audio(const Utterance& utterance) const override;
  std::string content_hash(const Utterance& utterance) const override;
  bool intact(const nlohmann::ordered_json& row) const override;
  void load(PrepItem& item) const override;
  nlohmann::ordered_json finish(const KeptSet& set, const std::filesystem::path& folder) override;
  void write_for_upstream(const PreparedSet& set) override;
  std::vector<std::string> set_files() const override { return {"codes"}; }

 private:
  void encode_recordings(std::span<PrepItem* const> items) override;
  void take_encoded(PrepItem& item) override;
  void fill_row(PrepItem& item, const torch::Tensor& codes);

  const Options& options_;
  Config config_;
  Tokenizer tokenizer_;
  Codec codec_{nullptr};
  int64_t beyond_ = 0, clips_beyond_ = 0;  // codes that a residual codebook has no entry for
};

}  // namespace ttsft::fish_s2_pro
