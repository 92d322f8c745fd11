// What the kinds of tokenizer.json (Hugging Face's tokenizers) have in common: options that must be
// off, and the list of merges.
#pragma once

#include <filesystem>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <string>

#include "bpe_merges.h"
#include "tokenizer_files.h"

namespace ttsft {

// Null where it is absent.
const nlohmann::json& tokenizer_member(const nlohmann::json& object, const char* name);

// DataError: the tokenizer's `part` asks for what is not supported.
[[noreturn]] void refuse_tokenizer(const std::string& part, const nlohmann::json& value,
                                   const std::filesystem::path& file);
// Each absent, null, false, 0 or "".
void require_off(const nlohmann::json& object, std::initializer_list<const char*> names,
                 const std::filesystem::path& file);

// The `model` of the file, a BPE.
const nlohmann::json& bpe_model(const nlohmann::json& tokenizer, const std::filesystem::path& file);

// Merges "a b", or ["a", "b"] since tokenizers 0.20, of symbols of the vocabulary.
void read_merge_list(const nlohmann::json& list, const Vocabulary& vocabulary, BpeMerges& merges,
                     const std::filesystem::path& file);

}  // namespace ttsft
