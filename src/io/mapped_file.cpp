#include "ttsft/io/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "ttsft/core/error.h"

namespace ttsft {
namespace {

[[noreturn]] void fail(std::string_view what, const std::filesystem::path& file, int error) {
  throw DataError(std::string(what) + " (" + std::generic_category().message(error) + ")",
                  file.string());
}

}  // namespace

MappedFile::MappedFile(const std::filesystem::path& file) : path_(file) {
  const int descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) fail("cannot open the file", file, errno);
  struct Closer {
    int descriptor;
    ~Closer() { ::close(descriptor); }
  } closer{descriptor};

  struct stat status {};
  if (::fstat(descriptor, &status) != 0) fail("cannot read the file", file, errno);
  if (!S_ISREG(status.st_mode)) throw DataError("not a file", file.string());
  const auto size = static_cast<size_t>(status.st_size);
  if (size == 0) return;  // mmap refuses a length of 0

  void* address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor, 0);
  if (address == MAP_FAILED) fail("cannot map the file into memory", file, errno);
  bytes_ = {static_cast<const std::byte*>(address), size};
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

}  // namespace ttsft
