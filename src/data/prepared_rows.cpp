#include "ttsft/data/prepared_rows.h"

#include "ttsft/core/error.h"

namespace ttsft {

std::string_view PreparedRows::Entry::text() const {
  const auto bytes = file->bytes().subspan(begin, length);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

PreparedRow PreparedRows::Entry::parse() const {
  try {
    return {id, key, seconds, nlohmann::ordered_json::parse(text()),
            notes.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json::parse(notes)};
  } catch (const nlohmann::json::exception& error) {
    throw DataError("the row of '" + id + "' cannot be read (" + error.what() + ")",
                    file->path().string(), "run prep again");
  }
}

}  // namespace ttsft
