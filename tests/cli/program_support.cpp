#include "cli/program_support.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <fstream>
#include <thread>

#include "ttsft/core/strings.h"
#include "ttsft/io/atomic_file.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;

// In the child, before exec: only calls that are safe after fork.
void redirect(int target, const fs::path& file) {
  const int opened = ::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (opened < 0 || ::dup2(opened, target) < 0) ::_exit(126);
}

}  // namespace

Program::Program(const std::vector<std::string>& arguments, const fs::path& folder) {
  std::vector<std::string> words = {TTSFT_BINARY};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  const fs::path out = folder_ / "out", err = folder_ / "err";
  pid_ = ::fork();
  if (pid_ != 0) return;
  redirect(STDOUT_FILENO, out);
  redirect(STDERR_FILENO, err);
  if (!folder.empty() && ::chdir(folder.c_str()) != 0) ::_exit(126);
  ::execv(pointers[0], pointers.data());
  ::_exit(127);
}

Program::~Program() {
  if (pid_ <= 0 || ended()) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, &status_, 0);
}

bool Program::ended() {
  if (!ended_) ended_ = ::waitpid(pid_, &status_, WNOHANG) == pid_;
  return ended_;
}

bool Program::wait_until(const std::function<bool()>& ready) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (std::chrono::steady_clock::now() < end && !ended()) {
    if (ready()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return false;
}

void Program::signal(int number) const {
  ::kill(pid_, number);
}

ProgramResult Program::wait() {
  if (!ended_) ended_ = ::waitpid(pid_, &status_, 0) == pid_;
  ProgramResult result;
  result.code = WIFEXITED(status_) ? WEXITSTATUS(status_) : -WTERMSIG(status_);
  result.out = read_text(folder_ / "out");
  result.err = read_text(folder_ / "err");
  return result;
}

ProgramResult run_program(const std::vector<std::string>& arguments, const fs::path& folder) {
  return Program(arguments, folder).wait();
}

std::string error_line(const ProgramResult& result) {
  const std::string text = trim(result.err);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 0) << text;
  EXPECT_TRUE(text.starts_with("error: ")) << text;
  EXPECT_EQ(result.out, "");
  return text.starts_with("error: ") ? text.substr(7) : text;
}

int64_t count_lines(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return std::count(std::istreambuf_iterator<char>(in), {}, '\n');
}

fs::path qwen3_fixtures() {
  return fs::path(TTSFT_FIXTURES) / "qwen3_tts";
}

fs::path write_run_file(const TemporaryFolder& folder, const std::string& source,
                        const std::string& more) {
  const fs::path fixtures = qwen3_fixtures();
  return folder.write(
      "run.yaml", "model: qwen3-tts\ncheckpoint: " + (fixtures / "checkpoint").string() +
                      "\nrun: run\ndevice: cpu\ndata:\n  source: " + (fixtures / source).string() +
                      "\n  prepared: prepared\n  speaker: speaker_test\n" +
                      "  validation: 0\n  reference: " + (fixtures / "audio/ref.wav").string() +
                      "\n" + more);
}

}  // namespace ttsft
