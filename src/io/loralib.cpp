#include "ttsft/io/loralib.h"

#include <algorithm>
#include <set>
#include <string_view>

#include "ttsft/core/error.h"
#include "ttsft/io/safetensors.h"
#include "ttsft/io/torch_file.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kState = "state_dict.", kModel = "model.";

// Of "state_dict.model.layers.0.wo.lora_A": the path of the module and the half.
std::optional<PeftName> parse_name(std::string_view name) {
  for (const std::string_view prefix : {kState, kModel})
    if (name.starts_with(prefix)) name.remove_prefix(prefix.size());
  for (const char half : {'A', 'B'}) {
    const std::string ending = std::string(".lora_") + half;
    if (name.ends_with(ending))
      return PeftName{std::string(name.substr(0, name.size() - ending.size())), half};
  }
  return std::nullopt;
}

AdapterFiles open_loralib(const fs::path& file, double alpha) {
  const auto source = TorchFile::open(file);
  const auto renamed = std::make_shared<DerivedTensors>(source);
  AdapterFiles adapter;
  std::set<std::string> modules;
  for (TensorView view : source->tensors()) {
    const auto name = parse_name(view.name);
    if (!name) continue;  // of what else Lightning keeps
    modules.insert(name->module_path);
    if (name->ab == 'A' && !view.shape.empty()) adapter.config.r = view.shape.front();
    view.name = peft_name(name->module_path, name->ab);
    renamed->keep(view);
  }
  if (modules.empty())
    throw DataError("no tensor of this file is called lora_A or lora_B", file.string(),
                    "name an adapter: a PEFT folder, or a file of loralib's form");
  if (alpha <= 0)
    throw UsageError("the file does not say its alpha", file.string(),
                     "write lora.alpha as it was trained with, for example lora: {alpha: 16}");
  renamed->finish();
  adapter.config.lora_alpha = alpha;
  adapter.config.target_modules.endings = {modules.begin(), modules.end()};
  adapter.tensors = renamed;
  adapter.says_embeddings = false;
  return adapter;
}

}  // namespace

AdapterFiles open_adapter(const fs::path& path, double alpha) {
  if (fs::is_regular_file(path)) return open_loralib(path, alpha);
  return {read_peft_config(path),
          std::make_shared<SafetensorsReader>(SafetensorsReader::open(path / kAdapterWeights))};
}

PeftConfig read_adapter_config(const fs::path& path, double alpha) {
  return fs::is_regular_file(path) ? open_loralib(path, alpha).config : read_peft_config(path);
}

bool is_loralib_file(const fs::path& path) {
  if (!fs::is_regular_file(path)) return false;
  try {
    const auto file = TorchFile::open(path);
    const auto& tensors = file->tensors();
    return std::any_of(tensors.begin(), tensors.end(),
                       [](const TensorView& view) { return parse_name(view.name).has_value(); });
  } catch (const DataError&) {
    return false;
  }
}

void write_loralib(const fs::path& file, const TensorFile& peft, Durability durability) {
  TorchValue::Dict state;
  for (const TensorView& view : peft.tensors()) {
    const auto name = parse_peft_name(view.name);
    if (!name) continue;
    state.push_back({std::string(kModel) + name->module_path + ".lora_" + name->ab, {view}});
  }
  write_torch_file(file, {TorchValue::Dict{{"state_dict", {std::move(state)}}}}, nullptr,
                   durability);
}

}  // namespace ttsft
