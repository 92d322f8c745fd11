// The section `fish-s2-pro:` of a run file.
#pragma once

#include <string>

#include "models/fish_s2_pro/prompt.h"
#include "ttsft/config/binder.h"

namespace ttsft::fish_s2_pro {

struct Options : Section {
  // train and eval
  std::string layout = "chat";        // chat | upstream
  bool embedding_scale = true;        // sums of frames over sqrt(11)
  std::string tied_head = "adapted";  // adapted | base
  bool write_ckpt = false;
  // train and synth
  bool speaker_tag = true;
  // synth
  std::string reference_text;
  int64_t chunk_length = 300;  // bytes

  Layout layout_kind() const { return layout == "chat" ? Layout::kChat : Layout::kUpstream; }

  void bind(Binder& b) override;
  void validate() const override;
};

}  // namespace ttsft::fish_s2_pro
