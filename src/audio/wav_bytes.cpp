// FFmpeg's pcm encoder rounds to nearest; libsndfile, which upstream writes with, rounds down.
// Hence a writer of our own.
#include "wav_bytes.h"

#include <cmath>
#include <cstring>
#include <limits>

namespace ttsft {
namespace {

constexpr uint32_t kUnknown = 0xffffffff;

void put(std::string& out, uint32_t value, int bytes) {  // little endian
  for (int i = 0; i < bytes; ++i) out += char(value >> (8 * i));
}

// libsndfile with clipping on (f2les_clip_array): to 32 bits, rounded to nearest and clipped; the
// upper bits are kept.
int32_t to_integer(float sample) {
  const double scaled = double(sample) * 2147483648.0;
  if (scaled >= 2147483647.0) return std::numeric_limits<int32_t>::max();
  if (scaled <= -2147483648.0) return std::numeric_limits<int32_t>::min();
  return int32_t(std::lrint(scaled));
}

}  // namespace

int wav_sample_bytes(WavFormat format) {
  return format == WavFormat::kPcm16 ? 2 : format == WavFormat::kPcm24 ? 3 : 4;
}

std::string wav_header(std::optional<uint64_t> samples, int sample_rate, WavFormat format) {
  const bool is_float = format == WavFormat::kFloat32;
  const int width = wav_sample_bytes(format);
  const uint32_t fact_bytes = is_float ? 12 : 0;
  const auto data_bytes = samples ? uint32_t(*samples * uint64_t(width)) : kUnknown;
  std::string out = "RIFF";
  put(out, samples ? 36 + fact_bytes + data_bytes + data_bytes % 2 : kUnknown, 4);
  out += "WAVEfmt ";
  put(out, 16, 4);
  put(out, is_float ? 3 : 1, 2);  // IEEE float or PCM
  put(out, 1, 2);                 // channels
  put(out, uint32_t(sample_rate), 4);
  put(out, uint32_t(sample_rate) * uint32_t(width), 4);
  put(out, uint32_t(width), 2);
  put(out, uint32_t(8 * width), 2);
  if (is_float) {  // the standard asks for the sample count where the data is not PCM
    out += "fact";
    put(out, 4, 4);
    put(out, samples ? uint32_t(*samples) : kUnknown, 4);
  }
  out += "data";
  put(out, data_bytes, 4);
  return out;
}

std::string wav_samples(std::span<const float> samples, WavFormat format) {
  const int width = wav_sample_bytes(format);
  std::string out;
  out.reserve(samples.size() * size_t(width) + 1);
  for (const float sample : samples) {
    if (format == WavFormat::kFloat32) {
      uint32_t bits = 0;
      std::memcpy(&bits, &sample, sizeof(bits));
      put(out, bits, 4);
    } else {
      put(out, uint32_t(to_integer(sample) >> (32 - 8 * width)), width);
    }
  }
  return out;
}

}  // namespace ttsft
