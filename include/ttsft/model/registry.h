// The models that this binary knows, from models/models.def.
#pragma once

#include <string>
#include <vector>

#include "ttsft/model/adapter.h"

namespace ttsft {

std::vector<const ModelAdapter*> all_models();            // in the order of models.def
const ModelAdapter& find_model(const std::string& name);  // UsageError with the nearest known name
ModelLookup model_lookup();                               // for load_run
RunConfig default_run(const std::string& model);  // every key at its default, for `ttsft config`

}  // namespace ttsft
