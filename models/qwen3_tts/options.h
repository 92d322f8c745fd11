// The section `qwen3-tts:` of a run file.
#pragma once

#include <filesystem>
#include <string>

#include "ttsft/config/binder.h"

namespace ttsft::qwen3_tts {

struct Options : Section {
  // synth
  std::string mode = "auto";  // auto | clone | icl | custom_voice | voice_design
  std::string language = "auto";
  std::string text_streaming = "auto";  // auto | true | false
  std::string reference_text, instruct;
  std::string split_pattern = "qwen2";  // qwen2 | mistral
  std::string segments = "whole";       // whole | sentences
  int64_t segment_characters = 300;
  bool subtalker_sample = true;
  double subtalker_temperature = 0.9, subtalker_top_p = 1.0;
  int64_t subtalker_top_k = 50;
  // train and eval
  double sub_talker_weight = 0.3;
  bool language_tags = false;
  bool keep_speaker_encoder = false;

  void bind(Binder& b) override;
  void validate() const override;
};

}  // namespace ttsft::qwen3_tts
