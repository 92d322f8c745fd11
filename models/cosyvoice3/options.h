// The section `cosyvoice3:` of a run file.
#pragma once

#include <string>

#include "models/cosyvoice3/flow_objective.h"
#include "ttsft/config/binder.h"

namespace ttsft::cosyvoice3 {

struct Options : Section {
  std::string talker = "base";  // base | rl
  // prep
  std::string speaker_pool = "mean";  // mean | ort118
  // train and eval
  double bistream = 0.5;
  std::string flow_mask = "random";  // random | full | streaming
  // synth
  std::string mode = "auto";  // auto | zero_shot | instruct2 | cross_lingual | sft
  std::string reference_text;
  std::string normalize = "words";  // words | upstream | off
  double speed = 1.0;
  double min_token_text_ratio = 2;  // codes of a token of text
  double max_token_text_ratio = 20;

  void bind(Binder& b) override;
  void validate() const override;

  std::string talker_file() const { return talker == "rl" ? "llm.rl.pt" : "llm.pt"; }
  FlowMask mask() const;
};

}  // namespace ttsft::cosyvoice3
