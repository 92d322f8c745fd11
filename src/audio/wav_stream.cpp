#include "ttsft/audio/wav_stream.h"

#include <cerrno>
#include <cstring>
#include <system_error>

#include "ttsft/core/error.h"
#include "wav_bytes.h"

namespace ttsft {

WavStream::WavStream(const std::filesystem::path& file, int sample_rate, WavFormat format, bool raw)
    : file_(file), sample_rate_(sample_rate), format_(format), raw_(raw) {
  out_ = file == "-" ? stdout : std::fopen(file.c_str(), "wb");
  if (!out_)
    throw RunError(std::string("cannot write a wav (") + std::strerror(errno) + ")", file.string(),
                   "check that the folder exists and may be written to");
  if (!raw) put(wav_header(std::nullopt, sample_rate, format));
}

WavStream::~WavStream() {
  if (finished_ || out_ == stdout) return;
  std::fclose(out_);
  std::error_code ignored;
  std::filesystem::remove(file_, ignored);
}

void WavStream::put(const std::string& bytes) {
  // At once: whoever listens shall not wait for a buffer to fill.
  if (std::fwrite(bytes.data(), 1, bytes.size(), out_) == bytes.size() && std::fflush(out_) == 0)
    return;
  throw RunError(std::string("cannot write the sound (") + std::strerror(errno) + ")",
                 file_ == "-" ? "standard output" : file_.string(),
                 "check that there is room, and that the reader is there");
}

void WavStream::write(std::span<const float> samples) {
  put(wav_samples(samples, format_));
  samples_ += samples.size();
}

void WavStream::finish() {
  finished_ = true;
  if (out_ == stdout) return;
  std::string pad;
  if (!raw_ && samples_ * uint64_t(wav_sample_bytes(format_)) % 2) pad.assign(1, '\0');
  try {
    put(pad);
    if (!raw_) {
      std::rewind(out_);
      put(wav_header(samples_, sample_rate_, format_));
    }
  } catch (...) {
    std::fclose(out_);
    std::error_code ignored;
    std::filesystem::remove(file_, ignored);
    throw;
  }
  if (std::fclose(out_) != 0)
    throw RunError("cannot finish the wav", file_.string(), "check that there is room");
}

}  // namespace ttsft
