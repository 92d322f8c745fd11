// FFmpeg's pcm encoder rounds to nearest; libsndfile, which upstream writes with, rounds down.
// Hence a writer of our own.
#include <array>
#include <atomic>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <system_error>

#include <unistd.h>

#include "ttsft/audio/audio.h"
#include "ttsft/core/error.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;

class Bytes {
 public:
  void text(const char* four) { data_.append(four, 4); }
  void integer(uint32_t value, int bytes) {  // little endian
    for (int i = 0; i < bytes; ++i) data_ += char(value >> (8 * i));
  }
  std::string take() { return std::move(data_); }
  void reserve(size_t size) { data_.reserve(size); }

 private:
  std::string data_;
};

// libsndfile with clipping on (f2les_clip_array): to 32 bits, rounded to nearest and clipped; the
// upper bits are kept.
int32_t to_integer(float sample) {
  const double scaled = double(sample) * 2147483648.0;
  if (scaled >= 2147483647.0) return std::numeric_limits<int32_t>::max();
  if (scaled <= -2147483648.0) return std::numeric_limits<int32_t>::min();
  return int32_t(std::lrint(scaled));
}

std::string encode(std::span<const float> samples, int sample_rate, WavFormat format) {
  const bool is_float = format == WavFormat::kFloat32;
  const int width = format == WavFormat::kPcm16 ? 2 : format == WavFormat::kPcm24 ? 3 : 4;
  const auto data_bytes = uint32_t(samples.size() * size_t(width));
  const uint32_t padding = data_bytes % 2;  // chunks begin at even offsets
  const uint32_t fact_bytes = is_float ? 12 : 0;
  Bytes out;
  out.reserve(64 + data_bytes);
  out.text("RIFF");
  out.integer(36 + fact_bytes + data_bytes + padding, 4);
  out.text("WAVE");
  out.text("fmt ");
  out.integer(16, 4);
  out.integer(is_float ? 3 : 1, 2);  // IEEE float or PCM
  out.integer(1, 2);                 // channels
  out.integer(uint32_t(sample_rate), 4);
  out.integer(uint32_t(sample_rate) * uint32_t(width), 4);
  out.integer(uint32_t(width), 2);
  out.integer(uint32_t(8 * width), 2);
  if (is_float) {  // the standard asks for the sample count where the data is not PCM
    out.text("fact");
    out.integer(4, 4);
    out.integer(uint32_t(samples.size()), 4);
  }
  out.text("data");
  out.integer(data_bytes, 4);
  for (const float sample : samples) {
    if (is_float) {
      uint32_t bits = 0;
      std::memcpy(&bits, &sample, sizeof(bits));
      out.integer(bits, 4);
    } else {
      out.integer(uint32_t(to_integer(sample) >> (32 - 8 * width)), width);
    }
  }
  if (padding) out.integer(0, 1);
  return out.take();
}

// Under a temporary name beside the target, then renamed: a reader sees the whole file or none.
void write_whole(const fs::path& file, const std::string& bytes) {
  static std::atomic<int> counter{0};
  const fs::path temporary =
      file.string() + ".tmp-" + std::to_string(::getpid()) + "-" + std::to_string(counter++);
  std::ofstream stream(temporary, std::ios::binary);
  stream.write(bytes.data(), std::streamsize(bytes.size()));
  stream.close();
  std::error_code error;
  if (stream) fs::rename(temporary, file, error);
  if (stream && !error) return;
  const std::string reason = error ? error.message() : std::strerror(errno);
  std::error_code ignored;
  fs::remove(temporary, ignored);
  throw RunError("cannot write a wav (" + reason + ")", file.string(),
                 "check that the folder exists, may be written to and has room");
}

}  // namespace

WavFormat wav_format_from_name(const std::string& name) {
  if (name == "pcm16") return WavFormat::kPcm16;
  if (name == "pcm24") return WavFormat::kPcm24;
  if (name == "float32") return WavFormat::kFloat32;
  throw UsageError("unknown wav format '" + name + "'", {}, "use pcm16, pcm24 or float32");
}

void write_wav(const fs::path& file, std::span<const float> samples, int sample_rate,
               WavFormat format) {
  if (sample_rate < 1) {
    throw RunError("a wav needs a sample rate, got " + std::to_string(sample_rate), file.string());
  }
  if (samples.size() > (size_t(1) << 30) - 64) {
    throw RunError("too long for a wav file", file.string(), "split the text");
  }
  for (size_t i = 0; i < samples.size(); ++i) {
    if (std::isfinite(samples[i])) continue;
    throw RunError("sample " + std::to_string(i) + " of the audio to write is not a number",
                   file.string(), "the model diverged: use an earlier checkpoint");
  }
  write_whole(file, encode(samples, sample_rate, format));
}

}  // namespace ttsft
