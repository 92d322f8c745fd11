#include "models/voxtral/voices.h"

#include <algorithm>
#include <cctype>

#include "models/voxtral/text.h"
#include "ttsft/core/error.h"
#include "ttsft/core/strings.h"
#include "ttsft/io/atomic_file.h"
#include "ttsft/io/json_reader.h"
#include "ttsft/io/torch_file.h"
#include "ttsft/nn/weights.h"

namespace ttsft::voxtral {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char* kVoiceRemedy = "copy it again from the release";

fs::path voice_file(const fs::path& checkpoint, const std::string& name) {
  return checkpoint / kVoiceFolder / (name + ".pt");
}

}  // namespace

std::vector<std::string> voice_names(const Config& config) {
  std::vector<std::string> names;
  for (const auto& [name, number] : config.voices) names.push_back(name);
  std::sort(names.begin(), names.end(), [&](const std::string& a, const std::string& b) {
    return config.voices.at(a) < config.voices.at(b);
  });
  return names;
}

torch::Tensor read_voice(const fs::path& checkpoint, const Config& config,
                         const std::string& name) {
  if (!config.voices.contains(name)) {
    const auto known = voice_names(config);
    throw UsageError("the checkpoint has no voice '" + name + "'", checkpoint.string(),
                     known.empty() ? "it has none" : "it has: " + join(known, ", "));
  }
  const fs::path file = voice_file(checkpoint, name);
  const auto voice = TorchFile::open(file);
  const TensorView* view = voice->root().tensor();
  if (!view || view->shape.size() != 2 || view->shape[0] < 1)
    throw DataError("holds no tensor of rows", file.string(), kVoiceRemedy);
  if (view->shape[1] != config.lm.dim)
    throw DataError("rows of " + std::to_string(view->shape[1]) + " numbers, the model has " +
                        std::to_string(config.lm.dim),
                    file.string(), kVoiceRemedy);
  const auto sizes = voice_sizes(checkpoint);
  const auto wanted = sizes.find(name);
  if (wanted == sizes.end() || wanted->second != view->shape[0])
    throw DataError(std::to_string(view->shape[0]) + " rows, tekken.json says " +
                        (wanted == sizes.end() ? "none" : std::to_string(wanted->second)),
                    file.string(), kVoiceRemedy);
  return copy_tensor(*view).to(torch::kFloat32);
}

torch::Tensor voice_rows(Lm& lm, const torch::Tensor& codes) {
  return lm->frames(voice_tokens(codes).to(lm->norm->weight.device()));
}

torch::Tensor voice_rows(const torch::Tensor& table, const torch::Tensor& codes,
                         const Config& config) {
  const torch::Tensor rows = table_rows(voice_tokens(codes), config);  // [N + 1, 37]
  return table.index_select(0, rows.flatten()).view({rows.size(0), rows.size(1), -1}).sum(1);
}

void check_voice_name(const Config& config, const std::string& name) {
  const auto plain = [](unsigned char c) {
    return std::islower(c) != 0 || std::isdigit(c) != 0 || c == '_' || c == '-';
  };
  if (name.empty() || !std::all_of(name.begin(), name.end(), plain))
    throw UsageError("'" + name + "' is no name for a voice: upstream asks for it in small letters",
                     "data.speaker", "use a to z, 0 to 9, _ and -");
  if (config.voices.contains(name))
    throw UsageError("the release has a voice '" + name + "' already", "data.speaker",
                     "name the new one otherwise");
}

void write_voice(const fs::path& base, const fs::path& out, const std::string& name,
                 const torch::Tensor& rows) {
  const torch::Tensor stored = rows.to(torch::kCPU, torch::kBFloat16).contiguous();
  TorchValue root;
  root.data = view_tensor("", stored);
  fs::create_directories(out / kVoiceFolder);
  write_torch_file(voice_file(out, name), root);

  Json tokenizer = read_json_object(base / kTokenizerFile);
  tokenizer["audio"]["voice_num_audio_tokens"][name] = stored.size(0);
  write_text_atomic(out / kTokenizerFile, tokenizer.dump() + "\n");

  Json params = read_json_object(base / kParamsFile);
  Json& voices = params["multimodal"]["audio_tokenizer_args"]["voice"];
  int64_t next = 0;
  for (const auto& [known, number] : voices.items())
    next = std::max(next, number.get<int64_t>() + 1);
  voices[name] = next;
  write_text_atomic(out / kParamsFile, params.dump(2) + "\n");
}

}  // namespace ttsft::voxtral
