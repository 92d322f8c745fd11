#include <algorithm>

#include "torch_content.h"
#include "ttsft/core/error.h"
#include "zip.h"

namespace ttsft {
namespace {

constexpr std::string_view kPickle = "/data.pkl";

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// All lies in one folder, whose name is the file's when it was written.
bool is_main_pickle(const ZipEntry& entry) {
  return entry.name.ends_with(kPickle) &&
         entry.name.find('/') == entry.name.size() - kPickle.size();
}

}  // namespace

TorchContent read_torch_zip(std::span<const std::byte> file, const std::string& where) {
  const std::vector<ZipEntry> entries = read_zip(file, where);
  const auto pickle = std::find_if(entries.begin(), entries.end(), is_main_pickle);
  if (pickle == entries.end()) {
    throw DataError("a zip archive without data.pkl: not a file of torch.save", where);
  }
  const std::string folder =
      pickle->name.substr(0, pickle->name.size() - kPickle.size() + 1);  // with its slash
  const std::string data = folder + "data/";

  TorchContent content;
  for (const ZipEntry& entry : entries) {
    if (entry.name.starts_with(data)) {
      content.storages.emplace(entry.name.substr(data.size()), entry.bytes);
    } else if (entry.name == folder + "byteorder" && text_of(entry.bytes) != "little") {
      throw DataError("written on a big-endian machine", where,
                      "load and save it again on a usual one");
    } else if (entry.name == folder + "constants.pkl") {
      throw DataError("a TorchScript program, not a file of torch.save", where,
                      "save the state_dict of its module");
    }
  }
  content.machine = std::make_unique<PickleMachine>(pickle->bytes, where);
  content.root = &content.machine->run();
  return content;
}

}  // namespace ttsft
