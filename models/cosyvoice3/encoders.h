// The two encoders of a CosyVoice 3 checkpoint and the mel of its flow.
#pragma once

#include <filesystem>
#include <string>

#include "ttsft/audio/audio.h"
#include "ttsft/codec/campplus.h"
#include "ttsft/codec/s3_tokenizer.h"
#include "ttsft/codec/s3_voice.h"

namespace ttsft::cosyvoice3 {

inline constexpr const char* kTokenizerFile = "speech_tokenizer_v3.onnx";
inline constexpr const char* kSpeakerFile = "campplus.onnx";

S3Tokenizer load_tokenizer(const std::filesystem::path& checkpoint, torch::Device device);
Campplus load_speaker_network(const std::filesystem::path& checkpoint, torch::Device device,
                              SegmentMean pool);

// As torchaudio resamples it.
std::vector<float> resampled(const Audio& audio, int rate);

// The mel that a clip is learned by, [F, 80]: of the wave at 24 kHz, padded to whole codes.
// Upstream: cosyvoice/dataset/processor.py, compute_fbank.
torch::Tensor training_mel(const std::vector<float>& wave24k);

}  // namespace ttsft::cosyvoice3
