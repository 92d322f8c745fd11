// The keys of the run file, section by section, and what their values must satisfy.
#include "ttsft/config/run_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "src/config/walk.h"
#include "src/config/yaml_text.h"
#include "ttsft/core/error.h"
#include "ttsft/core/strings.h"

namespace ttsft {
namespace {

// Names the key as its own section knows it; the sections above put theirs before.
template <class T>
void check(bool ok, const char* key, const char* rule, const T& value, const char* remedy = "") {
  if (ok) return;
  throw UsageError(fmt::format("{}: must be {}, is {}", key, rule, config::yaml_text(value)), "",
                   remedy);
}

void check_at_least(const char* key, int64_t least, int64_t value, const char* remedy = "") {
  check(value >= least, key, fmt::format("at least {}", least).c_str(), value, remedy);
}

void check_exclusive(bool both, const char* key, const char* other) {
  if (!both) return;
  throw UsageError(fmt::format("{}: {} and {} are both given", key, key, other), "",
                   "set one of them to null");
}

bool in_unit(double value) {
  return value >= 0 && value < 1;
}

void check_choice(const std::string& what, const std::string& value,
                  const std::vector<std::string>& choices) {
  if (std::find(choices.begin(), choices.end(), value) != choices.end()) return;
  const std::string near = nearest(value, choices);
  throw UsageError(fmt::format("{}: wants one of {}, got `{}`", what, join(choices, ", "), value),
                   "", near.empty() ? "" : fmt::format("did you mean {}?", near));
}

void check_actions(const std::string& key, const std::map<std::string, std::string>& actions) {
  for (const auto& [name, action] : actions)
    check_choice(key + "." + name, action, {"refuse", "warn", "off"});
}

}  // namespace

void DataConfig::bind(Binder& b) {
  b.field(
      "source", source,
      "what prep reads, or a list: LJSpeech folder or a table, wav + .txt, JSONL, Kaldi, parquet");
  b.field("prepared", prepared, "folder that prep writes, and train and eval read");
  b.field(
      "columns", columns,
      "of a table: file, text, normalized, speaker, language, instruct, reference, - (not read)");
  b.field("speaker", speaker, "name for rows that give none; the voice of synth");
  b.field("reference", reference,
          "recording of the voice, or {speaker: recording}; else prep chooses a clip of each");
  b.field("instruct", instruct, "style instruction for rows that give none");
  b.field("batch_seconds", batch_seconds,
          "audio in a batch of prep; auto: what the device takes, halved when its memory is short");
  b.field("validation", validation,
          "share held back (0: none), or a file with one utterance id a line");
  b.field("guards", guards, "moves a guard: {name: refuse | warn | off}");
}

void DataConfig::validate() const {
  check(in_unit(validation.share), "validation", "in [0, 1)", validation.share);
  check_actions("guards", guards);
}

void OptimizerConfig::bind(Binder& b) {
  b.choice("name", name, {"adamw"}, "decoupled weight decay");
  b.field("learning_rate", learning_rate, "after the warmup");
  b.field("betas", betas, "decay of the two moments");
  b.field("eps", eps, "added to the root of the second moment");
  b.field("weight_decay", weight_decay, "per step, times the learning rate");
}

void OptimizerConfig::validate() const {
  check(learning_rate > 0, "learning_rate", "above 0", learning_rate);
  check(betas.size() == 2 && in_unit(betas[0]) && in_unit(betas[1]), "betas",
        "two numbers in [0, 1)", betas);
  check(eps > 0, "eps", "above 0", eps);
  check(weight_decay >= 0, "weight_decay", "at least 0", weight_decay);
}

void ScheduleConfig::bind(Binder& b) {
  b.choice("name", name, {"constant", "linear", "cosine"}, "of the learning rate after the warmup");
  b.field("warmup_steps", warmup_steps, "linear rise from 0; at most a tenth of the run");
}

void ScheduleConfig::validate() const {
  check_at_least("warmup_steps", 0, warmup_steps);
}

void TrainConfig::bind(Binder& b) {
  b.choice("stage", stage, {"lm", "flow", "encoder"}, "what is trained, where the model has it");
  b.field("replay", replay, "recorded random tensors (safetensors) in place of our own draws");
  b.field("checks", checks, "moves a check of the targets: {name: refuse | warn | off}");
  b.choice("method", method, {"lora", "full"}, "adapters, or every weight of the stage");
  b.field("steps", steps, "optimizer steps; or give epochs");
  b.field("epochs", epochs, "passes over the training set; or give steps");
  b.field("batch_tokens", batch_tokens, "token budget of a batch; or give batch_utterances");
  b.field("batch_utterances", batch_utterances, "clips in a batch; or give batch_tokens");
  b.field("accumulate", accumulate, "batches per optimizer step");
  b.field("shuffle", shuffle, "false: in the order of the manifest");
  b.field("dropout", dropout, "null: the model's own; 0: off");
  b.choice("activation_checkpointing", activation_checkpointing, {"auto", "true", "false"},
           "recompute activations in the backward pass: less memory, slower; auto: on CUDA");
  b.section("optimizer", optimizer, "");
  b.section("schedule", schedule, "");
  b.field("clip_grad_norm", clip_grad_norm, "0: off");
  b.field("checkpoint_every", checkpoint_every, "steps; 0: at the end only");
  b.field("validate_every", validate_every, "steps; 0: at the end only");
  b.field("patience", patience, "stop after so many validations without a better one; null: never");
  b.field("keep", keep, "checkpoints: all, or {last: N, best: K}; the best is never deleted");
}

void TrainConfig::validate() const {
  check_exclusive(steps && epochs, "steps", "epochs");
  check_exclusive(batch_tokens && batch_utterances, "batch_tokens", "batch_utterances");
  for (const auto& [name, action] : checks)
    check_choice("checks", name, {"supervised", "decoding", "frame_offset", "draws", "gradient"});
  check_actions("checks", checks);
  if (steps == 0)
    throw UsageError("steps: a plan of zero steps trains nothing", "", "give 1 or more");
  if (steps) check_at_least("steps", 1, *steps);
  if (epochs) check(*epochs > 0, "epochs", "above 0", *epochs);
  if (batch_tokens) check_at_least("batch_tokens", 1, *batch_tokens);
  if (batch_utterances) check_at_least("batch_utterances", 1, *batch_utterances);
  check_at_least("accumulate", 1, accumulate);
  if (dropout) check(in_unit(*dropout), "dropout", "in [0, 1)", *dropout);
  check(clip_grad_norm >= 0, "clip_grad_norm", "at least 0", clip_grad_norm, "0 turns it off");
  check_at_least("checkpoint_every", 0, checkpoint_every);
  check_at_least("validate_every", 0, validate_every);
  if (patience) check_at_least("patience", 1, *patience, "null turns early stopping off");
  check_at_least("keep.last", 0, keep.last);
  check_at_least("keep.best", 0, keep.best);
}

void LoraConfig::bind(Binder& b) {
  b.field("rank", rank, "of each adapter's two matrices");
  b.field("alpha", alpha, "the adapter is scaled by alpha / rank");
  b.field("dropout", dropout, "on the adapter's input while training");
  b.field("rslora", rslora, "scale by alpha / sqrt(rank) instead");
  b.field("targets", targets,
          "endings of module names and the roles attention and mlp, or one regular expression");
  b.field("init_from", init_from, "adapter folder to start from");
}

void LoraConfig::validate() const {
  check_at_least("rank", 1, rank);
  check(alpha > 0, "alpha", "above 0", alpha);
  check(in_unit(dropout), "dropout", "in [0, 1)", dropout);
}

void EvalConfig::bind(Binder& b) {
  b.choice("split", split, {"validation", "train", "all"},
           "clips measured; validation means all where none are held back");
  b.field("checkpoints", checkpoints,
          "all, base, last, best, step-N, a folder, or a list of these");
  b.field("prompts", prompts, "texts to synthesize for speech metrics, one a line");
  b.field("replay", replay, "recorded random tensors (safetensors) in place of our own draws");
  b.field("lora_scales", lora_scales, "each adapter is measured at each of these");
  b.field("metrics", metrics, "speech metrics: not in this version, leave it empty");
}

void EvalConfig::validate() const {
  check(!lora_scales.empty(), "lora_scales", "one number or more", lora_scales);
}

void SynthConfig::bind(Binder& b) {
  b.field("temperature", temperature, "divides the logits; --greedy samples nothing");
  b.field("top_k", top_k, "keep the k likeliest tokens; 0: off");
  b.field("top_p", top_p, "keep the likeliest tokens up to this share; 1: off");
  b.field("min_p", min_p, "drop tokens below this share of the likeliest; 0: off");
  b.field("repetition_penalty", repetition_penalty,
          "above 1 makes tokens seen before rarer; 1: off");
  b.field("beams", beams, "beam search where above 1");
  b.field("length_penalty", length_penalty, "of beam search");
  b.field("lora_scale", lora_scale, "0: the base model, 1: the adapter as trained");
  b.field("max_frames", max_frames, "generated frames at most");
  b.field("batch", batch, "segments decoded together; null: 8 on a GPU, 4 on a CPU");
  b.choice("format", format, {"pcm16", "pcm24", "float32"}, "samples of the wav file");
}

void SynthConfig::validate() const {
  check(temperature > 0, "temperature", "above 0", temperature, "use --greedy to sample nothing");
  check_at_least("top_k", 0, top_k, "0 turns it off");
  check(top_p > 0 && top_p <= 1, "top_p", "in (0, 1]", top_p, "1 turns it off");
  check(in_unit(min_p), "min_p", "in [0, 1)", min_p, "0 turns it off");
  check(repetition_penalty > 0, "repetition_penalty", "above 0", repetition_penalty);
  check_at_least("beams", 1, beams);
  check_at_least("max_frames", 1, max_frames);
  if (batch) check_at_least("batch", 1, *batch);
}

void RunConfig::bind(Binder& b) {
  b.field("model", model, "name in `ttsft models`");
  b.field("checkpoint", checkpoint, "folder of the release, as downloaded");
  b.field("run", run, "folder for all that train, eval and synth write");
  b.field("device", device, "auto | cpu | cuda | cuda:N");
  b.choice("precision", precision, {"auto", "fp32", "bf16"},
           "auto is fp32 on CPU and bf16 on CUDA");
  b.field("seed", seed, "of everything that is drawn");
  b.field("accept_license", accept_license,
          "name of the licence, where the weights are not free for all use");
  b.section("data", data, "");
  b.section("train", train, "");
  b.section("lora", lora, "used where train.method is lora");
  b.section("eval", eval, "");
  b.section("synth", synth, "");
  if (model_options) b.section(model.c_str(), *model_options, "keys of this model alone");
}

void RunConfig::validate() const {
  check(!model.empty(), "model", "a name in `ttsft models`", model);
  const bool number = device.starts_with("cuda:") && device.size() > 5 &&
                      device.find_first_not_of("0123456789", 5) == std::string::npos;
  if (device != "auto" && device != "cpu" && device != "cuda" && !number) {
    throw UsageError(fmt::format("device: wants auto, cpu, cuda or cuda:N, got `{}`", device));
  }
  check_at_least("seed", 0, seed);
  RunConfig walked = *this;  // bind() may write, so the walk gets a copy
  config::validate_below(walked);
}

}  // namespace ttsft
