// The section `chatterbox:` of a run file.
#pragma once

#include <filesystem>
#include <string>

#include "ttsft/config/binder.h"

namespace ttsft::chatterbox {

// Whose voice a clip is conditioned on while training: other | self | a recording.
struct ConditionChoice : Binder::Flexible {
  enum class Kind { kOther, kSelf, kFile } kind = Kind::kOther;
  std::filesystem::path file;  // of kFile
  void parse_scalar(const std::string& text) override;
  void parse_list(const std::vector<std::string>& items) override;
  void parse_map(const std::map<std::string, std::string>& items) override;
  std::string dump() const override;
  void resolve_paths(const std::filesystem::path& folder) override;
};

struct Options : Section {
  // train and eval
  ConditionChoice condition;
  double text_weight = 1.0, speech_weight = 1.0;
  double text_drop = 0.0;
  // prep
  bool write_cache = false;
  // both
  double exaggeration = 0.5;
  // synth
  double cfg_weight = 0.5;
  std::string bos = "two";  // one | two
  int64_t segment_characters = 280;

  void bind(Binder& b) override;
  void validate() const override;
};

}  // namespace ttsft::chatterbox
