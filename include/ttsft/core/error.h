// Errors as users meet them: one line that says what, where and what to do, and the exit code that
// goes with it.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace ttsft {

// The exit codes of the command line (docs/architecture.md). 128 + signal is added for a stop by a
// signal.
enum class ExitCode { kOk = 0, kRunFailed = 1, kUsage = 2, kBadData = 3, kCheckFailed = 4 };

// what() reads "<what>: <where>; <remedy>", parts that are empty left out, line breaks folded into
// spaces.
class Error : public std::runtime_error {
 public:
  Error(ExitCode code, std::string_view what, std::string_view where = {},
        std::string_view remedy = {});
  ExitCode code() const { return code_; }

 private:
  ExitCode code_;
};

// Wrong command line or run file. Exit 2.
struct UsageError : Error {
  explicit UsageError(std::string_view what, std::string_view where = {},
                      std::string_view remedy = {})
      : Error(ExitCode::kUsage, what, where, remedy) {}
};

// Data or a checkpoint that a guard refuses. Exit 3.
struct DataError : Error {
  explicit DataError(std::string_view what, std::string_view where = {},
                     std::string_view remedy = {})
      : Error(ExitCode::kBadData, what, where, remedy) {}
};

// The run itself failed: out of disk, out of memory, a loss that is not a number. Exit 1.
struct RunError : Error {
  explicit RunError(std::string_view what, std::string_view where = {},
                    std::string_view remedy = {})
      : Error(ExitCode::kRunFailed, what, where, remedy) {}
};

// A proof fell short: merged and unmerged logits differ, a target is at the wrong frame. Exit 4.
struct CheckError : Error {
  explicit CheckError(std::string_view what, std::string_view where = {},
                      std::string_view remedy = {})
      : Error(ExitCode::kCheckFailed, what, where, remedy) {}
};

}  // namespace ttsft
