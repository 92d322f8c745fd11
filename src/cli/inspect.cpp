#include "src/cli/inspect.h"

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <vector>

#include "ttsft/core/error.h"
#include "ttsft/core/log.h"
#include "ttsft/data/prepared_set.h"
#include "ttsft/io/atomic_file.h"
#include "ttsft/io/json_reader.h"
#include "ttsft/io/peft.h"
#include "ttsft/io/safetensors.h"
#include "ttsft/io/torch_file.h"
#include "ttsft/model/checkpoint.h"
#include "ttsft/model/registry.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

// {"file", "tensors", "values", "bytes", "dtypes": {"F32": tensors}}
ordered_json weights_json(const fs::path& file, const fs::path& folder) {
  const auto reader = open_tensor_file(file);
  std::map<std::string, int64_t> dtypes;
  int64_t values = 0;
  size_t bytes = 0;
  for (const TensorView& tensor : reader->tensors()) {
    ++dtypes[std::string(dtype_name(tensor.dtype))];
    values += shape_size(tensor.shape);
    bytes += tensor.bytes.size();
  }
  return {{"file", file.lexically_relative(folder).string()},
          {"tensors", reader->tensors().size()},
          {"values", values},
          {"bytes", bytes},
          {"dtypes", dtypes}};
}

// By its name: .safetensors, or what torch.save is used to write.
bool is_weights(const fs::path& file) {
  constexpr std::array<std::string_view, 4> kEndings = {".safetensors", ".pt", ".pth", ".bin"};
  return std::find(kEndings.begin(), kEndings.end(), file.extension().string()) != kEndings.end();
}

// All files of weights in a folder and one level below; what only is called so is left out.
ordered_json all_weights(const fs::path& folder) {
  std::vector<fs::path> files;
  for (auto it = fs::recursive_directory_iterator(folder); it != fs::recursive_directory_iterator();
       ++it) {
    if (it.depth() >= 1) it.disable_recursion_pending();
    if (is_weights(it->path()) && it->is_regular_file()) files.push_back(it->path());
  }
  std::sort(files.begin(), files.end());
  ordered_json list = ordered_json::array();
  for (const fs::path& file : files) {
    try {
      list.push_back(weights_json(file, folder));
    } catch (const DataError& error) {
      if (file.extension() == ".safetensors") throw;
      log_warning("left out: ", error.what());
    }
  }
  return list;
}

ordered_json inspect_adapter(const fs::path& folder) {
  const PeftConfig config = read_peft_config(folder);
  ordered_json targets = config.target_modules.endings;
  if (!config.target_modules.regex.empty()) targets = config.target_modules.regex;
  ordered_json json = {{"kind", "adapter"},
                       {"path", folder.string()},
                       {"rank", config.r},
                       {"alpha", config.lora_alpha},
                       {"rslora", config.use_rslora},
                       {"dropout", config.lora_dropout},
                       {"scaling", config.scaling()},
                       {"targets", targets},
                       {"base", config.base_model_name_or_path}};
  const fs::path file = folder / kAdapterWeights;
  if (!fs::exists(file)) {
    throw DataError("the adapter has no weights", file.string(), "copy PEFT's two files together");
  }
  std::map<std::string, int> pairs;  // module -> how many of A and B
  const SafetensorsReader reader = SafetensorsReader::open(file);
  for (const TensorView& tensor : reader.tensors()) {
    if (const auto name = parse_peft_name(tensor.name)) ++pairs[name->module_path];
  }
  json["modules"] = pairs.size();
  json["incomplete_modules"] =
      std::count_if(pairs.begin(), pairs.end(), [](const auto& pair) { return pair.second != 2; });
  json["weights"] = all_weights(folder);
  return json;
}

ordered_json inspect_prepared(const fs::path& folder) {
  ordered_json json = {{"kind", "prepared set"}, {"path", folder.string()}};
  json["unfinished_prep"] = fs::exists(folder / "rows.partial.jsonl");
  if (!fs::exists(folder / "index.json")) return json;
  const ordered_json index = read_json_object(folder / "index.json");
  const JsonReader reader(index, (folder / "index.json").string());
  const PreparedSet set = PreparedSet::look(folder, reader.text("model"));
  double seconds = 0;
  for (const auto* rows : {&set.train, &set.validation}) {
    for (const PreparedRows::Entry& row : rows->entries()) seconds += row.seconds;
  }
  json["model"] = reader.text("model");
  json["train"] = set.train.size();
  json["validation"] = set.validation.size();
  json["seconds"] = seconds;
  for (const char* key : {"tool", "source", "rates", "totals", "speakers", "resampled", "guards"}) {
    if (index.contains(key)) json[key] = index[key];
  }
  return json;
}

ordered_json inspect_run(const fs::path& folder) {
  RunConfig config;
  config.run = folder;
  ordered_json checkpoints = ordered_json::array();
  for (const CheckpointRef& checkpoint : run_checkpoints(config)) {
    checkpoints.push_back(
        {{"name", checkpoint.name},
         {"step", checkpoint.step},
         {"kind", checkpoint.kind == CheckpointKind::kAdapter ? "adapter" : "full"}});
  }
  return {{"kind", "run"},
          {"path", folder.string()},
          {"checkpoints", checkpoints},
          {"best_step", read_best_step(folder)}};
}

ordered_json abilities_json(const Abilities& can) {
  return {{"encode_audio", can.encode_audio},
          {"clone", can.clone},
          {"stream", can.stream},
          {"stages", can.stages},
          {"why_not", can.why_not}};
}

ordered_json plain_json(const TorchValue& value) {
  if (const auto* b = std::get_if<bool>(&value.data)) return *b;
  if (const auto* i = std::get_if<int64_t>(&value.data)) return *i;
  if (const auto* d = std::get_if<double>(&value.data)) return *d;
  if (const auto* text = std::get_if<std::string>(&value.data)) return *text;
  return nullptr;
}

// Every number, text, flag and None between the tensors, as {"name", "value"}, under dotted paths.
void list_values(const TorchValue& value, const std::string& path, ordered_json& list) {
  const auto child = [&](const std::string& key, const TorchValue& item) {
    list_values(item, path.empty() ? key : path + "." + key, list);
  };
  const auto items = [&](const TorchValue::List& all) {
    for (size_t i = 0; i < all.size(); ++i) child(std::to_string(i), all[i]);
  };
  if (value.tensor()) return;
  if (const auto* dict = value.dict()) {
    for (const auto& [key, item] : *dict) child(key, item);
  } else if (const auto* all = std::get_if<TorchValue::List>(&value.data)) {
    items(*all);
  } else if (const auto* tuple = std::get_if<TorchValue::Tuple>(&value.data)) {
    items(tuple->items);
  } else {
    list.push_back({{"name", path}, {"value", plain_json(value)}});
  }
}

ordered_json inspect_tensors(const fs::path& file) {
  ordered_json json = {{"kind", "tensors"}, {"path", file.string()}};
  json["weights"].push_back(weights_json(file, file.parent_path()));
  ordered_json tensors = ordered_json::array();
  const auto reader = open_tensor_file(file);
  for (const TensorView& tensor : reader->tensors()) {
    tensors.push_back(
        {{"name", tensor.name}, {"dtype", dtype_name(tensor.dtype)}, {"shape", tensor.shape}});
  }
  json["tensors"] = std::move(tensors);
  ordered_json values = ordered_json::array();
  if (const auto torch = std::dynamic_pointer_cast<const TorchFile>(reader)) {
    list_values(torch->root(), "", values);
  }
  if (!values.empty()) json["values"] = std::move(values);
  return json;
}

}  // namespace

ordered_json inspect(const fs::path& given) {
  const fs::path path = given.has_filename() ? given : given.parent_path();
  if (!fs::exists(path)) throw UsageError("nothing is there", path.string());
  if (!fs::is_directory(path)) {
    if (is_weights(path)) return inspect_tensors(path);
    throw DataError("neither a folder nor a file of weights", path.string(),
                    "these end in .safetensors, .pt, .pth or .bin");
  }
  if (is_adapter_folder(path)) return inspect_adapter(path);
  if (fs::exists(path / "index.json") || fs::exists(path / "rows.partial.jsonl")) {
    return inspect_prepared(path);
  }
  for (const ModelAdapter* model : all_models()) {
    const std::string description = model->recognise(path);
    if (description.empty()) continue;
    return {{"kind", "checkpoint"},
            {"path", path.string()},
            {"model", model->info().name},
            {"description", description},
            {"abilities", abilities_json(model->abilities(path))},
            {"weights", all_weights(path)}};
  }
  if (fs::is_directory(path / "checkpoints")) return inspect_run(path);
  throw DataError("neither a checkpoint of a known model, an adapter, a prepared set nor a run",
                  path.string(), "`ttsft models` lists the models");
}

}  // namespace ttsft
