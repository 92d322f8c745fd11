#include "ttsft/model/registry.h"

#include "ttsft/core/error.h"
#include "ttsft/core/strings.h"

#ifndef TTSFT_MODELS_DEF  // a test may name models of its own
#define TTSFT_MODELS_DEF "models/models.def"
#endif

namespace ttsft {

// The factories, one per line of models.def. An explicit list: a linker drops static initialisers
// it finds unused.
#define TTSFT_MODEL(folder)                     \
  namespace folder {                            \
  std::unique_ptr<ModelAdapter> make_adapter(); \
  }
#include TTSFT_MODELS_DEF
#undef TTSFT_MODEL

namespace {

const std::vector<std::unique_ptr<ModelAdapter>>& adapters() {
  static const std::vector<std::unique_ptr<ModelAdapter>> list = [] {
    std::vector<std::unique_ptr<ModelAdapter>> made;
#define TTSFT_MODEL(folder) made.push_back(folder::make_adapter());
#include TTSFT_MODELS_DEF
#undef TTSFT_MODEL
    return made;
  }();
  return list;
}

}  // namespace

std::vector<const ModelAdapter*> all_models() {
  std::vector<const ModelAdapter*> models;
  for (const auto& adapter : adapters()) models.push_back(adapter.get());
  return models;
}

const ModelAdapter& find_model(const std::string& name) {
  std::vector<std::string> known;
  for (const auto& adapter : adapters()) {
    if (adapter->info().name == name) return *adapter;
    known.push_back(adapter->info().name);
  }
  const std::string near = nearest(name, known);
  throw UsageError("unknown model '" + name + "'", "model",
                   near.empty() ? "known: " + join(known, ", ") : "did you mean " + near + "?");
}

ModelLookup model_lookup() {
  return [](const std::string& name) {
    const ModelAdapter& adapter = find_model(name);
    return ModelDefaults{adapter.make_options(),
                         [&adapter](RunConfig& config) { adapter.preset(config); }};
  };
}

RunConfig default_run(const std::string& model) {
  return default_run(model, model_lookup());
}

}  // namespace ttsft
