#include <atomic>
#include <cmath>
#include <cstring>
#include <fstream>
#include <system_error>

#include <unistd.h>

#include "ttsft/audio/audio.h"
#include "ttsft/core/error.h"
#include "wav_bytes.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;

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
  std::string bytes = wav_header(samples.size(), sample_rate, format);
  bytes += wav_samples(samples, format);
  if (bytes.size() % 2) bytes += '\0';  // chunks begin at even offsets
  write_whole(file, bytes);
}

}  // namespace ttsft
