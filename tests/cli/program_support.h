// Runs the real binary, as a user's shell would.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "support/temporary_folder.h"

namespace ttsft {

struct ProgramResult {
  int code = -1;         // exit code; -signal when a signal killed it
  std::string out, err;  // all of stdout and stderr
};

class Program {
 public:
  // Starts ttsft with these arguments; `folder` becomes its working directory when not empty.
  explicit Program(const std::vector<std::string>& arguments,
                   const std::filesystem::path& folder = {});
  ~Program();  // kills what still runs
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  // Waits, a minute at most, until ready() holds or the program has ended; whether it held.
  bool wait_until(const std::function<bool()>& ready);
  void signal(int number) const;
  ProgramResult wait();

 private:
  bool ended();

  TemporaryFolder folder_;
  pid_t pid_ = -1;
  bool ended_ = false;
  int status_ = 0;
};

ProgramResult run_program(const std::vector<std::string>& arguments,
                          const std::filesystem::path& folder = {});

// What stderr says when a command fails: exactly one line. Its text without "error: ".
std::string error_line(const ProgramResult& result);

int64_t count_lines(const std::filesystem::path& file);  // 0 when it is not there

// A run file for the small checkpoint of the fixtures, with everything it writes under `folder`.
// `source` is relative to the fixtures of the model.
std::filesystem::path write_run_file(const TemporaryFolder& folder, const std::string& source,
                                     const std::string& more = {});
std::filesystem::path qwen3_fixtures();

}  // namespace ttsft
