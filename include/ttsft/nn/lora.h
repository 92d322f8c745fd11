// Adapter sites of a module, and a set of LoRA adapters on them, in PEFT's names.
#pragma once

#include <torch/torch.h>

#include <memory>
#include <string>
#include <vector>

#include "ttsft/io/peft.h"
#include "ttsft/io/safetensors.h"
#include "ttsft/nn/linear.h"

namespace ttsft {

// A linear (or a Table) that an adapter may sit on. path is the dotted upstream path without
// ".weight".
struct AdapterSite {
  std::string path;
  Linear linear;
};

// Every Linear below the module, in registration order.
std::vector<AdapterSite> adapter_sites(torch::nn::Module& module);

// The sites that the targets name. Endings may be PEFT name endings or the roles "attention" and
// "mlp". UsageError when nothing matches (known names listed) or when one of several endings
// matches nothing.
std::vector<AdapterSite> select_sites(const std::vector<AdapterSite>& sites,
                                      const LoraTargets& targets);

// PEFT's own spelling of a selection: endings as given, roles replaced by the last names of the
// sites they stand for.
LoraTargets peft_targets(const std::vector<AdapterSite>& selected, const LoraTargets& targets);

class LoraSet {
 public:
  // Fresh adapters as PEFT makes them: A uniform (kaiming, a = sqrt 5), B zero; of a Table A zero,
  // B normal. seed decides what is random.
  static LoraSet create(const std::vector<AdapterSite>& sites, const PeftConfig& config,
                        torch::Device device, uint64_t seed);
  // Adapters of a PEFT folder, or of a loralib file (io/loralib.h) with its alpha, put on the
  // module's sites. Strict: a tensor without a site, a pair without its half, a wrong shape, or a
  // folder that matches nothing is a DataError that lists the names.
  static LoraSet load(torch::nn::Module& module, const std::filesystem::path& path,
                      torch::Device device, double alpha = 0);

  void set_scale(double scale);
  void set_dropout(double dropout);  // of the adapters' input while training; also in config()
  void merge();                      // into the base weights; the set is empty afterwards
  // PEFT tensor names with their float32 masters, sorted by name.
  std::vector<std::pair<std::string, torch::Tensor>> parameters() const;
  const std::vector<AdapterSite>& sites() const { return sites_; }
  const PeftConfig& config() const { return config_; }
  int64_t parameter_count() const;

 private:
  std::vector<AdapterSite> sites_;
  PeftConfig config_;
};

// adapter_config.json and adapter_model.safetensors into an existing folder.
void save_adapter(const LoraSet& set, const std::filesystem::path& folder);

}  // namespace ttsft
