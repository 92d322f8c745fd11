// Names and checks that the reading and the writing side of a prepared folder share.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string_view>

namespace ttsft {

inline constexpr std::string_view kPreparedFormat = "ttsft-prepared";
inline constexpr int kPreparedVersion = 1;

inline constexpr std::string_view kIndexName = "index.json";
inline constexpr std::string_view kTrainName = "train.jsonl";
inline constexpr std::string_view kValidationName = "validation.jsonl";
inline constexpr std::string_view kRejectedName = "rejected.jsonl";
inline constexpr std::string_view kFindingsName = "findings.jsonl";
inline constexpr const char* kSetFiles = "set_files";  // key of the index
inline constexpr std::string_view kJournalName = "rows.partial.jsonl";

// Of the bytes of a row file, as index.json states it.
std::string content_hash(std::string_view text);

// index.json of a prepared folder of this model, of whatever version. DataError otherwise.
nlohmann::ordered_json read_prepared_index(const std::filesystem::path& folder,
                                           const std::string& model);

// The first of the index's set_files that is not what it says; "" when all are.
std::string changed_set_file(const std::filesystem::path& folder,
                             const nlohmann::ordered_json& index);
bool has_current_version(const nlohmann::ordered_json& index);

}  // namespace ttsft
