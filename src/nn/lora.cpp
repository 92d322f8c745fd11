#include "ttsft/nn/lora.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "ttsft/core/error.h"
#include "ttsft/core/strings.h"
#include "ttsft/io/atomic_file.h"
#include "ttsft/io/loralib.h"
#include "ttsft/nn/rng.h"
#include "ttsft/nn/weights.h"

namespace ttsft {
namespace {

std::optional<LinearRole> role_of(const std::string& word) {
  if (word == "attention") return LinearRole::kAttention;
  if (word == "mlp") return LinearRole::kMlp;
  return std::nullopt;
}

std::string last_name(const std::string& path) {
  return path.substr(path.rfind('.') + 1);
}

std::vector<std::string> last_names(const std::vector<AdapterSite>& sites) {
  std::set<std::string> names;
  for (const AdapterSite& site : sites) names.insert(last_name(site.path));
  return {names.begin(), names.end()};
}

bool chosen_by(const AdapterSite& site, const std::string& ending) {
  if (const auto role = role_of(ending)) return site.linear->options().role == *role;
  return matches(LoraTargets{{ending}, ""}, site.path);
}

void attach(const AdapterSite& site, torch::Tensor a, torch::Tensor b, const PeftConfig& config) {
  LoraSlot slot;
  slot.A = std::move(a);
  slot.B = std::move(b);
  slot.scaling = config.scaling();
  slot.dropout = config.lora_dropout;
  Linear(site.linear)->lora() = std::move(slot);
}

}  // namespace

std::vector<AdapterSite> adapter_sites(torch::nn::Module& module) {
  std::vector<AdapterSite> sites;
  for (const auto& item : module.named_modules("", /*include_self=*/false)) {
    if (auto linear = std::dynamic_pointer_cast<LinearImpl>(item.value()))
      sites.push_back({item.key(), Linear(linear)});
  }
  return sites;
}

std::vector<AdapterSite> select_sites(const std::vector<AdapterSite>& sites,
                                      const LoraTargets& targets) {
  std::vector<AdapterSite> selected;
  const std::string remedy =
      "modules that can carry one: attention, mlp, " + join(last_names(sites), ", ");
  if (!targets.regex.empty()) {
    for (const AdapterSite& site : sites)
      if (matches(targets, site.path)) selected.push_back(site);
    if (selected.empty())
      throw UsageError("the regular expression '" + targets.regex + "' matches no linear layer",
                       "lora.targets", remedy);
    return selected;
  }
  for (const std::string& ending : targets.endings) {
    const bool any = std::any_of(sites.begin(), sites.end(),
                                 [&](const AdapterSite& s) { return chosen_by(s, ending); });
    if (!any) throw UsageError("'" + ending + "' matches no linear layer", "lora.targets", remedy);
  }
  for (const AdapterSite& site : sites) {
    const auto& endings = targets.endings;
    if (std::any_of(endings.begin(), endings.end(),
                    [&](const std::string& e) { return chosen_by(site, e); }))
      selected.push_back(site);
  }
  if (selected.empty()) throw UsageError("no targets are named", "lora.targets", remedy);
  return selected;
}

LoraTargets peft_targets(const std::vector<AdapterSite>& selected, const LoraTargets& targets) {
  if (!targets.regex.empty()) return targets;
  std::set<std::string> endings;
  for (const std::string& ending : targets.endings) {
    const auto role = role_of(ending);
    if (!role) endings.insert(ending);
    for (const AdapterSite& site : selected)
      if (role && site.linear->options().role == *role) endings.insert(last_name(site.path));
  }
  return LoraTargets{{endings.begin(), endings.end()}, ""};
}

LoraSet LoraSet::create(const std::vector<AdapterSite>& sites, const PeftConfig& config,
                        torch::Device device, uint64_t seed) {
  LoraSet set;
  set.sites_ = sites;
  set.config_ = config;
  torch::NoGradGuard no_grad;
  for (const AdapterSite& site : sites) {
    const LinearOptions& shape = site.linear->options();
    torch::Generator generator = make_generator(torch::kCPU, derive_seed(seed, site.path));
    torch::Tensor a = torch::zeros({config.r, shape.in}), b = torch::zeros({shape.out, config.r});
    const double bound =
        1.0 / std::sqrt(static_cast<double>(shape.in));  // kaiming_uniform with a = sqrt(5)
    if (shape.embeds) {
      b.normal_(0, 1, generator);
    } else {
      a.uniform_(-bound, bound, generator);
    }
    attach(site, a.to(device), b.to(device), config);
  }
  return set;
}

LoraSet LoraSet::load(torch::nn::Module& module, const std::filesystem::path& path,
                      torch::Device device, double alpha) {
  LoraSet set;
  const AdapterFiles files = open_adapter(path, alpha);
  set.config_ = files.config;
  std::map<std::string, std::pair<const TensorView*, const TensorView*>> pairs;
  std::map<std::string, bool> embeds;
  std::vector<std::string> problems;
  for (const TensorView& view : files.tensors->tensors()) {
    const auto name = parse_peft_name(view.name);
    if (!name) {
      problems.push_back(view.name + " is not a LoRA tensor");
      continue;
    }
    auto& pair = pairs[name->module_path];
    (name->ab == 'A' ? pair.first : pair.second) = &view;
    embeds[name->module_path] = name->embeds;
  }
  std::map<std::string, AdapterSite> known;
  for (const AdapterSite& site : adapter_sites(module)) known.emplace(site.path, site);
  for (const auto& [module_path, pair] : pairs) {
    const auto site = known.find(module_path);
    if (site == known.end()) {
      problems.push_back(module_path + " is not in this model");
      continue;
    }
    const LinearOptions& shape = site->second.linear->options();
    if (files.says_embeddings && shape.embeds != embeds[module_path]) {
      problems.push_back(module_path + (shape.embeds ? " is an embedding" : " is no embedding"));
    } else if (!pair.first || !pair.second) {
      problems.push_back(module_path + " has only one of lora_A and lora_B");
    } else if (pair.first->shape != Shape{set.config_.r, shape.in} ||
               pair.second->shape != Shape{shape.out, set.config_.r}) {
      problems.push_back(module_path + " has A " + shape_text(pair.first->shape) + " and B " +
                         shape_text(pair.second->shape) + ", wanted rank " +
                         std::to_string(set.config_.r) + " between " + std::to_string(shape.in) +
                         " and " + std::to_string(shape.out));
    }
  }
  if (pairs.empty() && problems.empty()) problems.push_back("it holds no LoRA tensor");
  if (!problems.empty()) {
    const size_t shown = std::min<size_t>(problems.size(), 5);
    std::string text = join({problems.begin(), problems.begin() + shown}, "; ");
    if (problems.size() > shown)
      text += "; and " + std::to_string(problems.size() - shown) + " more";
    throw DataError("the adapter does not fit the model: " + text, path.string(),
                    "was it trained for another model?");
  }
  const auto to_master = [device](const TensorView& view) {
    return copy_tensor(view).to(device, torch::kFloat32);
  };
  for (const AdapterSite& site : adapter_sites(module)) {
    const auto pair = pairs.find(site.path);
    if (pair == pairs.end()) continue;
    attach(site, to_master(*pair->second.first), to_master(*pair->second.second), set.config_);
    set.sites_.push_back(site);
  }
  return set;
}

void LoraSet::set_scale(double scale) {
  for (AdapterSite& site : sites_) site.linear->lora()->scale = scale;
}

void LoraSet::set_dropout(double dropout) {
  config_.lora_dropout = dropout;
  for (AdapterSite& site : sites_) site.linear->lora()->dropout = dropout;
}

void LoraSet::merge() {
  for (AdapterSite& site : sites_) site.linear->merge_lora();
  sites_.clear();
}

std::vector<std::pair<std::string, torch::Tensor>> LoraSet::parameters() const {
  std::vector<std::pair<std::string, torch::Tensor>> named;
  for (const AdapterSite& site : sites_) {
    const bool embeds = site.linear->options().embeds;
    named.emplace_back(peft_name(site.path, 'A', embeds), site.linear->lora()->A);
    named.emplace_back(peft_name(site.path, 'B', embeds), site.linear->lora()->B);
  }
  std::sort(named.begin(), named.end(),
            [](const auto& x, const auto& y) { return x.first < y.first; });
  return named;
}

int64_t LoraSet::parameter_count() const {
  int64_t count = 0;
  for (const auto& [name, tensor] : parameters()) count += tensor.numel();
  return count;
}

void save_adapter(const LoraSet& set, const std::filesystem::path& folder) {
  save_tensors(folder / kAdapterWeights, set.parameters());
  write_text_atomic(folder / "adapter_config.json", peft_config_json(set.config()).dump(2) + "\n");
}

}  // namespace ttsft
