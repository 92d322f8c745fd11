// Where the weights of judges lie that ttsft does not carry.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace ttsft {

// `name` is a path such as "silero_vad/silero_vad_16k.safetensors". Looked for in the folder that
// TTSFT_JUDGES names, in share/ttsft/judges of an installation, and where tools/setup unpacks it.
std::optional<std::filesystem::path> find_judge(const std::string& name);

// As above; UsageError with the remedy where it is nowhere. `what` is its name for people.
std::filesystem::path need_judge(const std::string& name, const std::string& what);

}  // namespace ttsft
