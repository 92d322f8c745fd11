// Proofs before the first step that targets are where they should be. Each throws CheckError.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "feed.h"
#include "ttsft/model/language_stage.h"

namespace ttsft {

// `supervised`: each loss term has supervised tokens in this step, as many losses as it counts, and
// only finite ones, and the whole is not exactly zero.
void check_terms(Stage& stage, const StepBatches& step);

// `decoding`: the training forward and decoding step by step give the same logits for a sample:
// largest difference at most `tolerance` times the largest logit.
void check_decoding(LanguageStage& stage, const Sample& sample, double tolerance);

enum class OffsetVerdict { kRight, kUndecided };

// `frame_offset`: logits are not those of the frame before or behind. Refused is what cannot be
// right: a neighbouring frame has a cross entropy below 0.8 ln V, lower than that of the right one
// by 5 standard errors of the difference per token and by 0.2 ln V. Less than that a model trained
// elsewhere may show (codes that repeat, another voice), and it stays undecided; right is what
// beats both neighbours by 5 standard errors below 0.8 ln V.
// Probes of the language model [F, V] or of its depth-wise decoder [F, C, V].
OffsetVerdict check_frame_offset(const std::vector<Probe>& probes);

// The same along the codebooks of a depth-wise decoder: its probes, [F, C, V].
OffsetVerdict check_codebook_offset(std::vector<Probe> probes);

// `draws`: two batches of one draw give the same losses.
void check_draws(Stage& stage, const std::vector<const Sample*>& samples);

// `gradient`: a small step along the gradient of `trained` lowers the loss of a batch.
void check_gradient(Stage& stage, const Batch& batch, const std::vector<torch::Tensor>& trained);

// All that apply, on the first step of a run and in eval mode: supervised; decoding and
// frame_offset for a language stage, draws and gradient for another. `actions`: train.checks.
void check_first_step(Stage& stage, const Samples& samples, Feed& feed, torch::Dtype dtype,
                      const std::vector<torch::Tensor>& trained,
                      const std::map<std::string, std::string>& actions);

}  // namespace ttsft
