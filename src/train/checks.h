// Proofs before the first step that targets are where they should be. Each throws CheckError.
#pragma once

#include "feed.h"
#include "ttsft/model/stage.h"

namespace ttsft {

// Each loss term has supervised tokens in this step, as many losses as it counts, and only finite
// ones, and the whole is not exactly zero.
void check_terms(Stage& stage, const StepBatches& step);

// The training forward and decoding step by step give the same logits for a sample: largest
// difference at most `tolerance` times the largest logit.
void check_decoding(Stage& stage, const Sample& sample, double tolerance);

enum class OffsetVerdict { kRight, kUndecided };

// The cross entropy is lower at the right frame than one frame early or late. Undecided while none
// of the three is below 0.8 ln V: a model that knows nothing cannot tell.
OffsetVerdict check_frame_offset(Stage& stage, const std::vector<const Sample*>& samples);

// All of the above on the first step of a run, in eval mode and without gradients.
void check_first_step(Stage& stage, const Samples& samples, Feed& feed, torch::Dtype dtype);

}  // namespace ttsft
