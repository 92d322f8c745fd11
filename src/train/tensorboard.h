// TensorBoard event files. Written here because no packaged C++ library does: a TFRecord frame
// (length, masked crc32c, data, masked crc32c) around a handful of protobuf fields.
// Formats: tensorflow/core/lib/io/record_writer.cc, tensorflow/core/util/event.proto,
// tensorflow/core/framework/summary.proto.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <string_view>

namespace ttsft {

uint32_t crc32c(std::string_view bytes);  // Castagnoli

class EventFile {
 public:
  // Opens a new file in the folder. TensorBoard reads all files of a folder as one run; what
  // earlier ones hold from first_step on is discarded, as the run goes on from there.
  EventFile(const std::filesystem::path& folder, int64_t first_step);

  void scalars(int64_t step, const std::map<std::string, double>& values);

 private:
  void record(const std::string& event);

  std::ofstream stream_;
  std::filesystem::path file_;
};

}  // namespace ttsft
