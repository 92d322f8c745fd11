#include "trainee.h"

#include <set>
#include <sstream>

#include "ttsft/core/error.h"
#include "ttsft/core/log.h"
#include "ttsft/core/strings.h"
#include "ttsft/io/loralib.h"
#include "ttsft/nn/rng.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;

PeftConfig peft_config(const RunConfig& config, const std::vector<AdapterSite>& sites,
                       const LoraTargets& targets, const std::string& task_type) {
  PeftConfig peft;
  // Modules of the other stages are no language models.
  peft.task_type = config.train.stage == "lm" ? task_type : "";
  peft.r = config.lora.rank;
  peft.lora_alpha = config.lora.alpha;
  peft.lora_dropout = config.lora.dropout;
  peft.use_rslora = config.lora.rslora;
  peft.target_modules = peft_targets(sites, targets);
  peft.base_model_name_or_path = config.checkpoint.string();
  for (const AdapterSite& site : sites) {
    const LinearOptions& linear = site.linear->options();
    if (linear.layout == LinearLayout::kInOut && !linear.embeds) peft.fan_in_fan_out = true;
  }
  return peft;
}

// What the run file says of an adapter must be true of it; what it does not say, the adapter
// decides.
void check_init(const RunConfig& config, const LoraSet& set,
                const std::vector<AdapterSite>& sites) {
  std::vector<std::string> differences;
  const auto compare = [&](const std::string& key, const auto& written, const auto& stored) {
    if (!config.given.contains("lora." + key) || written == stored) return;
    std::ostringstream text;
    text << std::boolalpha << "lora." << key << " is " << written << ", the adapter has " << stored;
    differences.push_back(text.str());
  };
  compare("rank", config.lora.rank, set.config().r);
  compare("alpha", config.lora.alpha, set.config().lora_alpha);
  compare("rslora", config.lora.rslora, set.config().use_rslora);
  if (!differences.empty()) {
    throw UsageError(join(differences, "; "), config.lora.init_from.string(),
                     "remove the key from the run file, or correct it");
  }
  std::set<std::string> wanted, found;
  for (const AdapterSite& site : sites) wanted.insert(site.path);
  for (const AdapterSite& site : set.sites()) found.insert(site.path);
  if (wanted != found) {
    log_warning("lora.init_from has adapters on ", found.size(), " layers and lora.targets names ",
                wanted.size(), ": the adapter's own layers are trained");
  }
}

LoraSet make_lora(const RunConfig& config, Stage& stage, torch::Device device,
                  const fs::path& resume, const std::string& task_type) {
  const LoraTargets targets{config.lora.targets.endings, config.lora.targets.regex};
  const auto sites = select_sites(adapter_sites(stage.module()), targets);
  const bool initial = resume.empty() && !config.lora.init_from.empty();
  if (resume.empty() && !initial) {
    return LoraSet::create(sites, peft_config(config, sites, targets, task_type), device,
                           derive_seed(static_cast<uint64_t>(config.seed), "lora_init"));
  }
  const fs::path& folder = initial ? config.lora.init_from : resume;
  if (!is_adapter_folder(folder) && !(initial && is_loralib_file(folder))) {
    throw UsageError("there is no adapter_config.json", folder.string(),
                     initial ? "name a folder with PEFT's two files in lora.init_from" : "");
  }
  LoraSet set = LoraSet::load(stage.module(), folder, device, config.lora.alpha);
  if (initial) check_init(config, set, sites);
  set.set_dropout(config.lora.dropout);
  return set;
}

}  // namespace

void Trainee::save(Stage& stage, const fs::path& folder) const {
  if (lora) {
    save_adapter(*lora, folder);
    stage.save_beside_adapter(folder);
    return;
  }
  const NamedTensors masters = weights.masters();
  stage.save_full(folder, {masters.begin(), masters.end()});
}

Trainee make_trainee(const RunConfig& config, Stage& stage, torch::Device device,
                     const fs::path& resume, const std::string& task_type) {
  Trainee trainee;
  for (auto& item : stage.module().named_parameters()) {
    item.value().requires_grad_(false);
    trainee.model_values += item.value().numel();
    trainee.model_bytes += static_cast<int64_t>(item.value().nbytes());
  }
  if (config.train.method == "lora") {
    stage.require_adaptable();
    trainee.lora = make_lora(config, stage, device, resume, task_type);
    for (const auto& [name, tensor] : trainee.lora->parameters()) trainee.weights.add(name, tensor);
    for (const AdapterSite& site : trainee.lora->sites()) trainee.sites.push_back(site.path);
    return trainee;
  }
  for (const auto& item : stage.module().named_parameters()) {
    if (!stage.trainable(item.key())) continue;
    trainee.weights.add(item.key(), item.value());
    trainee.sites.push_back(item.key());
  }
  if (trainee.sites.empty()) {
    throw UsageError("stage " + config.train.stage + " has no weight to train",
                     "train.method: full");
  }
  return trainee;
}

}  // namespace ttsft
