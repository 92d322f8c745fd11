// The run file: one YAML per experiment (docs/run-file.md). Model-specific keys stand under the
// model's name.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "ttsft/config/binder.h"

namespace ttsft {

// data.validation: a share in [0, 1), or a file with one utterance id per line.
struct ValidationChoice : Binder::Flexible {
  double share = 0.02;
  std::filesystem::path list;  // wins when not empty
  void parse_scalar(const std::string& text) override;
  void parse_list(const std::vector<std::string>& items) override;
  void parse_map(const std::map<std::string, std::string>& items) override;
  std::string dump() const override;
  void resolve_paths(const std::filesystem::path& folder) override;
};

// data.source: a path, or a list of them.
struct SourceChoice : Binder::Flexible {
  std::vector<std::filesystem::path> paths;
  SourceChoice& operator=(const std::filesystem::path& path);
  bool empty() const { return paths.empty(); }
  std::string text() const;  // for messages
  void parse_scalar(const std::string& text) override;
  void parse_list(const std::vector<std::string>& items) override;
  void parse_map(const std::map<std::string, std::string>& items) override;
  bool parse_null() override;
  std::string dump() const override;
  void resolve_paths(const std::filesystem::path& folder) override;
};

// data.reference: a recording of the voice, or {speaker: recording} for several.
struct ReferenceChoice : Binder::Flexible {
  std::filesystem::path file;
  std::map<std::string, std::filesystem::path> by_speaker;
  ReferenceChoice& operator=(const std::filesystem::path& path);
  bool empty() const { return file.empty() && by_speaker.empty(); }
  void clear();
  void parse_scalar(const std::string& text) override;
  void parse_list(const std::vector<std::string>& items) override;
  void parse_map(const std::map<std::string, std::string>& items) override;
  bool parse_null() override;
  std::string dump() const override;
  void resolve_paths(const std::filesystem::path& folder) override;
};

// train.keep: "all", or {last: N, best: K}.
struct KeepChoice : Binder::Flexible {
  bool all = true;
  int64_t last = 0, best = 1;
  void parse_scalar(const std::string& text) override;
  void parse_list(const std::vector<std::string>& items) override;
  void parse_map(const std::map<std::string, std::string>& items) override;
  std::string dump() const override;
};

// lora.targets: a list of endings and roles, or one regular expression. One role alone needs no
// list.
struct TargetChoice : Binder::Flexible {
  std::vector<std::string> endings;
  std::string regex;
  void parse_scalar(const std::string& text) override;
  void parse_list(const std::vector<std::string>& items) override;
  void parse_map(const std::map<std::string, std::string>& items) override;
  std::string dump() const override;
};

// The parts of "STAGE=NAME"; no stage for a name alone, and for a folder that has such a name.
std::pair<std::string, std::string> split_stage(const std::string& name);

// eval.checkpoints: "all", "base", "last", "best", step-N, a folder, or a list of these, each also
// as STAGE=NAME. What is no such word is a folder.
struct CheckpointChoice : Binder::Flexible {
  std::vector<std::string> names = {"all"};
  void parse_scalar(const std::string& text) override;
  void parse_list(const std::vector<std::string>& items) override;
  void parse_map(const std::map<std::string, std::string>& items) override;
  std::string dump() const override;
  void resolve_paths(const std::filesystem::path& folder) override;
};

// auto, or a number above 0.
struct AutoNumber : Binder::Flexible {
  std::optional<double> value;  // nullopt: auto
  void parse_scalar(const std::string& text) override;
  void parse_list(const std::vector<std::string>& items) override;
  void parse_map(const std::map<std::string, std::string>& items) override;
  std::string dump() const override;
};

struct DataConfig : Section {
  SourceChoice source;
  std::filesystem::path prepared;
  ReferenceChoice reference;
  std::string speaker, instruct;
  std::vector<std::string> columns;  // of a table: words of docs/prep.md
  AutoNumber batch_seconds;          // of audio in a batch of prep, padding included
  ValidationChoice validation;
  std::map<std::string, std::string> guards;
  void bind(Binder& b) override;
  void validate() const override;
};

struct OptimizerConfig : Section {
  std::string name = "adamw";
  double learning_rate = 2e-6;
  std::vector<double> betas = {0.9, 0.999};
  double eps = 1e-8, weight_decay = 0.01;
  void bind(Binder& b) override;
  void validate() const override;
};

struct ScheduleConfig : Section {
  std::string name = "constant";  // constant | linear | cosine
  int64_t warmup_steps = 0;
  void bind(Binder& b) override;
  void validate() const override;
};

struct TrainConfig : Section {
  std::string stage = "lm", method = "lora";
  // load_run leaves exactly one of each pair set: steps or epochs (1000 steps when neither is
  // given), batch_tokens or batch_utterances (8192 tokens). A flag displaces the other one of the
  // file, and the file that of a preset.
  std::optional<int64_t> steps;
  std::optional<double> epochs;
  std::optional<int64_t> batch_tokens, batch_utterances;
  int64_t accumulate = 1;
  bool shuffle = true;
  std::filesystem::path replay;
  std::map<std::string, std::string> checks;  // by name: refuse | warn | off
  std::optional<double> dropout;
  std::string activation_checkpointing = "auto";  // auto | true | false
  OptimizerConfig optimizer;
  ScheduleConfig schedule;
  double clip_grad_norm = 1.0;                           // 0: off
  int64_t checkpoint_every = 100, validate_every = 100;  // 0: at the end only
  std::optional<int64_t> patience;
  KeepChoice keep;
  void bind(Binder& b) override;
  void validate() const override;
};

struct LoraConfig : Section {
  int64_t rank = 16;
  double alpha = 32, dropout = 0;
  bool rslora = false;
  TargetChoice targets;
  std::filesystem::path init_from;
  void bind(Binder& b) override;
  void validate() const override;
};

struct EvalConfig : Section {
  std::string split = "validation";  // validation | train | all
  CheckpointChoice checkpoints;
  std::filesystem::path prompts, replay;
  std::vector<double> lora_scales = {1.0};
  std::vector<std::string> metrics;
  void bind(Binder& b) override;
  void validate() const override;
};

struct SynthConfig : Section {
  double temperature = 0.9, top_p = 1.0, min_p = 0.0, repetition_penalty = 1.05,
         length_penalty = 0.0;
  int64_t top_k = 50, beams = 1, max_frames = 2048;
  std::optional<int64_t> batch;  // rows decoded together; none: as the model and the device have it
  double lora_scale = 1.0;
  std::string format = "pcm16";
  void bind(Binder& b) override;
  void validate() const override;
};

struct RunConfig : Section {
  std::string model;
  std::filesystem::path checkpoint, run;
  std::string device = "auto", precision = "auto";
  int64_t seed = 1;
  std::string accept_license;  // the name of a licence that its reader agrees to
  DataConfig data;
  TrainConfig train;
  LoraConfig lora;
  EvalConfig eval;
  SynthConfig synth;
  std::shared_ptr<Section>
      model_options;  // the adapter's own section, bound under the model's name; may be null
  std::filesystem::path file;  // the run file, for error lines and relative paths
  // Dotted keys that the file or a flag wrote ("lora.rank"): what the user said, not what a default
  // or a preset did. Filled by load_run; no part of the dump.
  std::set<std::string> given;

  void bind(Binder& b) override;
  void validate() const override;
};

// What a model contributes before its file is read: its own section and its defaults for the common
// ones.
struct ModelDefaults {
  std::shared_ptr<Section> options;
  std::function<void(RunConfig&)> preset;
};
// Called with the value of `model:`; makes new options each time; throws UsageError with the
// nearest known name.
using ModelLookup = std::function<ModelDefaults(const std::string& name)>;

// Reads, overlays `key.path=value` (paths relative to the working directory), validates.
// UsageErrors name file, line and key ("run.yaml:12: train.setps: unknown key; did you mean
// train.steps?").
RunConfig load_run(const std::filesystem::path& file, const std::vector<std::string>& overrides,
                   const ModelLookup& lookup);

// What a run file that names just the model means; `ttsft config MODEL` prints it with comments.
RunConfig default_run(const std::string& model, const ModelLookup& lookup);

// For a command that needs a path: UsageError naming the dotted key when it is empty.
void require(const RunConfig& config, const std::filesystem::path& value, const std::string& key);

// Every key with its value; with comments, as `ttsft config MODEL` prints it. Loads back to the
// same configuration.
std::string dump_run(const RunConfig& config, bool comments = false);

// The value of a dotted key in such a text, as it stands there; nothing when it has no such key.
std::optional<std::string> dumped_value(const std::string& dump, const std::string& key);

// Keys whose values differ, as "train.steps: 100 -> 200", for the refusal to continue another run.
// `ignore` holds dotted prefixes that may differ (eval, synth, device, ...).
std::vector<std::string> diff_runs(const std::string& old_dump, const std::string& new_dump,
                                   const std::vector<std::string>& ignore);

}  // namespace ttsft
