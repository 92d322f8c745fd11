#include "models/chatterbox/options.h"

#include <nlohmann/json.hpp>
#include <stdexcept>

#include "ttsft/core/error.h"

namespace ttsft::chatterbox {
namespace {

constexpr const char* kWanted = "wants other, self or the path of a recording";

}  // namespace

void ConditionChoice::parse_scalar(const std::string& text) {
  if (text.empty()) throw std::invalid_argument(std::string(kWanted) + ", got nothing");
  kind = text == "other" ? Kind::kOther : text == "self" ? Kind::kSelf : Kind::kFile;
  file = kind == Kind::kFile ? std::filesystem::path(text) : std::filesystem::path();
}
void ConditionChoice::parse_list(const std::vector<std::string>&) {
  throw std::invalid_argument(std::string(kWanted) + ", got a list");
}
void ConditionChoice::parse_map(const std::map<std::string, std::string>&) {
  throw std::invalid_argument(std::string(kWanted) + ", got a map");
}
std::string ConditionChoice::dump() const {
  if (kind == Kind::kFile) return nlohmann::json(file.string()).dump();  // a quoted YAML scalar too
  return kind == Kind::kSelf ? "self" : "other";
}
void ConditionChoice::resolve_paths(const std::filesystem::path& folder) {
  if (kind == Kind::kFile && file.is_relative()) file = (folder / file).lexically_normal();
}

void Options::bind(Binder& b) {
  b.field("condition", condition,
          "train, eval: whose voice and prompt a clip is told to take: other = another clip of its "
          "speaker, self = its own first 3 s (leaks the target), or a recording for all");
  b.field("text_weight", text_weight, "train: weight of the text loss; 0 = do not compute it");
  b.field("speech_weight", speech_weight, "train: weight of the speech loss");
  b.field("text_drop", text_drop,
          "train: share of clips whose text is hidden, so that classifier-free guidance keeps "
          "working; 0.1 for long runs");
  b.field("write_cache", write_cache,
          "prep: also write cache/<id>.pt as the community's trainers read it");
  b.field("exaggeration", exaggeration, "train, synth: emotion, 0.5 = neutral");
  b.field("cfg_weight", cfg_weight, "synth: classifier-free guidance; 0 = off, at half the cost");
  b.choice("bos", bos, {"one", "two"},
           "synth: start tokens before the codes; two = as upstream uses its release, one = the "
           "layout of training");
  b.field("segment_characters", segment_characters,
          "synth: sentences are joined up to this many characters and spoken in one go");
}

void Options::validate() const {
  const auto refuse = [](const std::string& what, const std::string& remedy = "") {
    throw UsageError(what, "", remedy);
  };
  if (text_weight < 0) refuse("text_weight: must be 0 or more");
  if (speech_weight <= 0) refuse("speech_weight: must be above 0");
  if (text_drop < 0 || text_drop >= 1) refuse("text_drop: must be in [0, 1)", "0.1 is usual");
  if (exaggeration < 0 || exaggeration > 2) refuse("exaggeration: must be in [0, 2]");
  if (cfg_weight < 0 || cfg_weight > 2) refuse("cfg_weight: must be in [0, 2]");
  if (segment_characters < 20) refuse("segment_characters: must be at least 20");
}

}  // namespace ttsft::chatterbox
