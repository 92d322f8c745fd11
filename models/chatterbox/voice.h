// A voice as inference needs it: what T3 is conditioned on and what S3Gen is. On disk it is
// conds.pt, which the release ships with its built-in voice. Source: chatterbox 0.1.7, tts.py
// (Conditionals, prepare_conditionals), models/s3gen/s3gen.py (embed_ref).
#pragma once

#include <torch/torch.h>

#include <filesystem>
#include <memory>

#include "models/chatterbox/objective.h"
#include "ttsft/judge/voice_encoder.h"
#include "ttsft/audio/audio.h"
#include "ttsft/codec/s3_voice.h"

namespace ttsft::chatterbox {

inline constexpr const char* kVoiceFile = "conds.pt";

struct Voice {
  Condition t3;
  S3Voice gen;
};

// DataError: not such a file. An embedded prompt that upstream left in it is stale as soon as a
// weight changes, and ignored.
Voice read_voice(const std::filesystem::path& file);
void write_voice(const std::filesystem::path& file, const Voice& voice, double exaggeration);

// Makes voices of recordings.
class VoiceMaker {
 public:
  VoiceMaker(const std::filesystem::path& checkpoint, const Config& config, torch::Device device);

  Voice make(const std::filesystem::path& recording);
  Condition condition(const std::filesystem::path& recording);  // T3's part alone

  // Both hear 16 kHz.
  VoiceEncoder& voice_encoder() { return voice_encoder_; }
  S3Tokenizer& tokenizer() { return tokenizer_; }

 private:
  Condition condition_of(const torch::Tensor& wave16k);

  std::filesystem::path checkpoint_;
  Config config_;
  torch::Device device_;
  VoiceEncoder voice_encoder_{nullptr};
  S3Tokenizer tokenizer_{nullptr};
  Campplus speaker_encoder_{nullptr};  // loaded at the first need
};

}  // namespace ttsft::chatterbox
