// Audio as plain float buffers: decoding, resampling, measuring, writing. No LibTorch.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace ttsft {

struct Audio {
  std::vector<float> samples;  // mono, full scale 1.0
  int sample_rate = 0;         // Hz
  double seconds() const { return sample_rate ? double(samples.size()) / sample_rate : 0.0; }
};

struct AudioFile {
  Audio audio;            // channels averaged, at the file's own rate
  int channels = 0;       // as stored
  std::string container;  // FFmpeg's names
  std::string codec;
  std::vector<double> channel_rms;  // before mixing: a dead or inverted channel shows here
};

// Decodes the first audio stream of any file FFmpeg reads (wav, flac, mp3, ogg, m4a, ...). 16-bit
// input becomes value / 32768 exactly. Throws DataError (file, FFmpeg's reason) for unreadable or
// truncated-to-nothing files.
AudioFile decode_audio(const std::filesystem::path& file);

// Whether a file is one to decode and no array or tensor file, by its name.
bool is_recording(const std::filesystem::path& file);

// swresample's soxr engine at precision 20: librosa's "soxr_hq", bit for bit. Output length ceil(n
// * to / from).
std::vector<float> resample_soxr(std::span<const float> samples, int from, int to);

// The samples at another rate by resample_soxr; as they are when it is theirs already.
std::vector<float> at_rate(Audio audio, int sample_rate);

enum class WavFormat { kPcm16, kPcm24, kFloat32 };
WavFormat wav_format_from_name(
    const std::string& name);  // "pcm16" | "pcm24" | "float32", else UsageError

// RIFF wav, mono, written atomically. Integers as libsndfile makes them: floor(x * 2^(bits-1)),
// clipped.
void write_wav(const std::filesystem::path& file, std::span<const float> samples, int sample_rate,
               WavFormat format = WavFormat::kPcm16);

}  // namespace ttsft
