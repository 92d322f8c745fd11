// A wave that is written while it is made: to a file that a player may read meanwhile, or to
// standard output.
#pragma once

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <span>

#include "ttsft/audio/audio.h"

namespace ttsft {

class WavStream {
 public:
  // file "-": standard output. raw: samples without a header. Until finish() the header of a wav
  // says that the length is unknown (0xffffffff), on standard output for ever. RunError: it cannot
  // be opened.
  WavStream(const std::filesystem::path& file, int sample_rate, WavFormat format, bool raw);
  // A file that was not finished is removed.
  ~WavStream();
  WavStream(const WavStream&) = delete;
  WavStream& operator=(const WavStream&) = delete;

  void write(std::span<const float> samples);  // RunError: the disk is full, nobody reads
  void finish();

 private:
  void put(const std::string& bytes);

  std::filesystem::path file_;
  std::FILE* out_ = nullptr;
  int sample_rate_;
  WavFormat format_;
  bool raw_, finished_ = false;
  uint64_t samples_ = 0;
};

}  // namespace ttsft
