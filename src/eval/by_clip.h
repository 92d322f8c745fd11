// What the clips of a split say about its loss: how sure it is, and how the speakers differ.
#pragma once

#include <map>
#include <string>

#include "ttsft/model/loss_sums.h"

namespace ttsft {

using ClipLosses = std::map<std::string, LossTotals>;  // by id

// How much each clip moves the loss of the whole, to first order (the loss is a weighted sum of
// ratios of sums over the clips). They sum to zero.
std::map<std::string, double> influences(const LossTotals& whole, const ClipLosses& clips);

// Of a mean whose clips have these influences, or of the difference of two on the same clips, by
// the influences' differences. NaN for fewer than two clips.
double standard_error(const std::map<std::string, double>& influences);
std::map<std::string, double> difference(const std::map<std::string, double>& a,
                                         const std::map<std::string, double>& b);

// The clips of each speaker as one. speakers: by id.
std::map<std::string, LossTotals> by_speaker(const ClipLosses& clips,
                                             const std::map<std::string, std::string>& speakers);

}  // namespace ttsft
