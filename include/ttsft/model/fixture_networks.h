// Tensors of networks that several releases carry a copy of, for their random checkpoints.
#pragma once

#include <string>

#include "ttsft/codec/campplus.h"
#include "ttsft/model/fixture_list.h"

namespace ttsft {

// <prefix>head.* and <prefix>xvector.* of CAM++.
void list_campplus(FixtureList& list, const std::string& prefix, const CampplusOptions& options);

}  // namespace ttsft
