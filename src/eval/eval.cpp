#include "ttsft/eval/eval.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <numeric>
#include <sstream>

#include "by_clip.h"
#include "report.h"
#include "ttsft/core/error.h"
#include "ttsft/core/log.h"
#include "ttsft/core/progress.h"
#include "ttsft/core/signals.h"
#include "ttsft/data/prepared_set.h"
#include "ttsft/data/sampler.h"
#include "ttsft/io/atomic_file.h"
#include "ttsft/model/load_stage.h"
#include "ttsft/model/loss_sums.h"

namespace ttsft {
namespace {

using Json = nlohmann::ordered_json;

// One row of the result.
struct Candidate {
  CheckpointRef checkpoint;
  std::string name;
  double lora_scale = 1.0;
};

std::string scale_text(double scale) {
  std::ostringstream text;
  text << scale;
  return text.str();
}

void refuse_speech(const RunConfig& config) {
  const auto refuse = [&](const char* key) {
    throw UsageError(std::string(key) + ": speech metrics are not part of this version",
                     config.file.string(), std::string("remove ") + key);
  };
  if (!config.eval.metrics.empty()) refuse("eval.metrics");
  if (!config.eval.prompts.empty()) refuse("eval.prompts");
}

std::vector<Candidate> candidates_of(const RunConfig& config) {
  std::vector<Candidate> candidates;
  for (const CheckpointRef& ref : resolve_checkpoints(config, config.eval.checkpoints.names)) {
    if (ref.kind != CheckpointKind::kAdapter) {
      candidates.push_back({ref, ref.name, 1.0});
      continue;
    }
    for (const double scale : config.eval.lora_scales) {
      candidates.push_back(
          {ref, scale == 1.0 ? ref.name : ref.name + "@" + scale_text(scale), scale});
    }
  }
  return candidates;
}

struct Split {
  std::string name;
  PreparedRows rows;
};

Split choose_split(const RunConfig& config, const PreparedSet& set) {
  Split split{config.eval.split, {}};
  if (split.name == "validation" && set.validation.empty()) {
    log_info("the set has no validation part: all of it is measured");
    split.name = "all";
  }
  split.rows = split.name == "validation" ? set.validation
               : split.name == "train"    ? set.train
                                          : set.all();
  if (split.rows.empty()) {
    throw DataError("nothing to measure: the split " + split.name + " is empty",
                    set.folder.string(), "run ttsft prep, or choose another eval.split");
  }
  return split;
}

// The rows of the split in batches of like length.
class Feed {
 public:
  Feed(Stage& stage, const PreparedRows& rows, const TrainConfig& train) {
    samples_ = read_samples(stage, rows);
    std::stable_sort(samples_.begin(), samples_.end(),
                     [](const auto& a, const auto& b) { return a->length > b->length; });
    std::vector<int64_t> lengths;
    for (const auto& sample : samples_) lengths.push_back(sample->length);
    SamplerOptions options;
    options.shuffle = false;
    options.batch_utterances = train.batch_utterances.value_or(0);
    options.batch_tokens = train.batch_tokens.value_or(options.batch_tokens);
    batches_ = Sampler(std::move(lengths), options).epoch(0);
  }

  int64_t batches() const { return std::ssize(batches_); }
  std::unique_ptr<Batch> batch(Stage& stage, int64_t i, const Replay* replay) const {
    std::vector<const Sample*> chosen;
    for (const int64_t row : batches_[static_cast<size_t>(i)]) {
      chosen.push_back(samples_[static_cast<size_t>(row)].get());
    }
    return stage.make_batch(chosen, Draw{.replay = replay});
  }

 private:
  Samples samples_;
  std::vector<std::vector<int64_t>> batches_;
};

LossSums measure(Stage& stage, const Feed& feed, const std::string& name, const Replay* replay) {
  torch::InferenceMode guard;
  LossSums sums;
  Progress progress("eval " + name, feed.batches(), "batches");
  for (int64_t i = 0; i < feed.batches(); ++i) {
    if (stop_signal()) throw Stopped{stop_signal()};
    const std::unique_ptr<Batch> batch = feed.batch(stage, i, replay);
    sums.add(*batch, stage.loss(*batch, LossRequest{.accuracy = true}));
    progress.advance();
  }
  progress.finish();
  return sums;
}

// Not a number cannot be written as JSON: it becomes null.
Json finite(double value) {
  return std::isfinite(value) ? Json(value) : Json();
}

double share(int64_t part, double whole) {
  return whole > 0 ? static_cast<double>(part) / whole : 0.0;
}

int64_t token_count(const LossTotals& totals) {
  double tokens = 0;
  for (const auto& [name, term] : totals.terms) tokens += term.tokens;
  return std::llround(tokens);
}

Json totals_json(const LossTotals& totals) {
  Json terms = Json::object(), accuracy = Json::object();
  for (const auto& [name, term] : totals.terms) {
    if (term.tokens <= 0) continue;  // this utterance has no token of the term
    terms[name] = finite(term.mean());
    if (term.correct) accuracy[name] = share(*term.correct, term.tokens);
  }
  return {{"loss", finite(totals.loss())},
          {"loss_terms", std::move(terms)},
          {"tokens", token_count(totals)},
          {"accuracy", std::move(accuracy)}};
}

Json codebooks_json(const LossTotals& totals) {
  Json codebooks = Json::object();
  for (const auto& [name, term] : totals.terms) {
    if (term.sum_per_codebook.empty() || term.tokens_per_codebook <= 0) continue;
    Json loss = Json::array(), accuracy = Json::array();
    for (const double sum : term.sum_per_codebook) {
      loss.push_back(finite(sum / term.tokens_per_codebook));
    }
    for (const int64_t correct : term.correct_per_codebook) {
      accuracy.push_back(share(correct, term.tokens_per_codebook));
    }
    codebooks[name] = {{"loss", std::move(loss)}};
    if (!accuracy.empty()) codebooks[name]["accuracy"] = std::move(accuracy);
  }
  return codebooks;
}

// By id, as the rows name them; data.speaker where they do not.
std::map<std::string, std::string> speakers_of(const PreparedRows& rows, const RunConfig& config) {
  std::map<std::string, std::string> speakers;
  for (const PreparedRow& row : rows)
    speakers[row.id] = row.row.value("speaker", config.data.speaker);
  return speakers;
}

Json speakers_json(const ClipLosses& clips, const std::map<std::string, std::string>& speakers) {
  std::map<std::string, int64_t> counts;
  for (const auto& [id, clip] : clips) ++counts[speakers.at(id)];
  Json json = Json::object();
  for (const auto& [speaker, totals] : by_speaker(clips, speakers))
    json[speaker] = {{"clips", counts.at(speaker)}, {"loss", finite(totals.loss())}};
  return json;
}

Json row_json(const Candidate& candidate, const LossTotals& totals, const ClipLosses& by_id,
              const PreparedRows& rows) {
  Json row = {{"name", candidate.name}};
  if (candidate.checkpoint.kind == CheckpointKind::kBase) {
    row["step"] = 0;
  } else {
    row["step"] = candidate.checkpoint.step < 0 ? Json() : Json(candidate.checkpoint.step);
  }
  if (candidate.checkpoint.kind == CheckpointKind::kAdapter) {
    row["lora_scale"] = candidate.lora_scale;
  }
  row.update(totals_json(totals));
  Json term_tokens = Json::object();
  for (const auto& [name, term] : totals.terms) term_tokens[name] = std::llround(term.tokens);
  row["term_tokens"] = std::move(term_tokens);
  row["codebooks"] = codebooks_json(totals);
  Json utterances = Json::array();
  for (const PreparedRows::Entry& prepared : rows.entries()) {
    Json utterance = {{"id", prepared.id}};
    utterance.update(totals_json(by_id.at(prepared.id)));
    utterances.push_back(std::move(utterance));
  }
  row["utterances"] = std::move(utterances);
  return row;
}

void write_report(const RunConfig& config, const Json& result) {
  if (config.run.empty()) return;
  const std::filesystem::path folder = config.run / "eval";
  try {
    write_text_atomic(folder / "report.json", result.dump(2) + "\n");
    write_text_atomic(folder / "report.md", report_markdown(result));
    log_info("report: ", (folder / "report.md").string());
  } catch (const RunError& error) {
    log_warning("the report cannot be kept: ", error.what());
  }
}

Json dry_result(const std::vector<Candidate>& candidates, const Split& split) {
  Json names = Json::array();
  for (const Candidate& candidate : candidates) names.push_back(candidate.name);
  return {{"dry_run", true},
          {"checkpoints", std::move(names)},
          {"split", split.name},
          {"utterances", split.rows.size()}};
}

}  // namespace

nlohmann::ordered_json run_eval(const RunConfig& given, const ModelAdapter& adapter,
                                const EvalOptions& options) {
  RunConfig config = given;
  if (const auto own = stage_run(given, given.train.stage); std::filesystem::is_directory(own))
    config.run = own;
  refuse_speech(config);
  require(config, config.data.prepared, "data.prepared");
  const std::vector<Candidate> candidates = candidates_of(config);
  const FolderLock in_use(config.data.prepared, FolderLock::Mode::kShared);
  const PreparedSet set = PreparedSet::open(config.data.prepared, adapter.info().name);
  const Split split = choose_split(config, set);
  if (options.dry_run) return dry_result(candidates, split);

  const auto start = std::chrono::steady_clock::now();
  const ModelContext context = make_context(config);
  require_stage(config, adapter.info());
  const std::unique_ptr<Replay> replay = open_replay(config.eval.replay);
  StageLoader loader(context, adapter);
  std::optional<Feed> feed;
  const std::map<std::string, std::string> speakers = speakers_of(split.rows, config);
  std::map<std::string, double> of_best;
  std::vector<std::map<std::string, double>> moved;  // the loss by each clip, row by row
  int64_t generation = 0;
  Json rows = Json::array(), best;
  double lowest = std::numeric_limits<double>::infinity();
  for (const Candidate& candidate : candidates) {
    Stage& stage = loader.load(candidate.checkpoint, candidate.lora_scale);
    if (!feed || loader.generation() != generation) feed.emplace(stage, split.rows, config.train);
    generation = loader.generation();
    const LossSums sums = measure(stage, *feed, candidate.name, replay.get());
    const LossTotals totals = sums.totals();
    if (token_count(totals) == 0) {
      throw DataError("no token of the split " + split.name + " is supervised", set.folder.string(),
                      "run ttsft prep again");
    }
    const double loss = totals.loss();
    if (!std::isfinite(loss)) log_warning(candidate.name, ": the loss is not a finite number");
    const ClipLosses clips = sums.utterances();
    moved.push_back(influences(totals, clips));
    if (loss < lowest) {
      lowest = loss;
      best = candidate.name;
      of_best = moved.back();
    }
    log_info(candidate.name, ": loss ", loss);
    rows.push_back(row_json(candidate, totals, clips, split.rows));
    rows.back()["speakers"] = speakers_json(clips, speakers);
    rows.back()["loss_error"] = finite(standard_error(moved.back()));
    rows.back()["to_base_error"] = finite(standard_error(difference(moved.back(), moved.front())));
  }
  for (size_t i = 0; i < rows.size(); ++i) {
    if (best.is_null()) continue;
    // Two errors of the difference on the same clips: what is nearer the clips cannot rank.
    const double error = standard_error(difference(moved[i], of_best));
    const double behind = rows[i]["loss"].is_number() ? rows[i]["loss"].get<double>() - lowest
                                                      : std::numeric_limits<double>::infinity();
    rows[i]["to_best_error"] = finite(error);
    rows[i]["ties_with_best"] =
        rows[i]["name"] != best && (split.rows.size() < 2 || behind <= 2 * error);
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  Json result = {{"model", adapter.info().name},
                 {"split", split.name},
                 {"clips", split.rows.size()},
                 {"precision", context.dtype == torch::kBFloat16 ? "bf16" : "fp32"},
                 {"device", context.device.str()},
                 {"checkpoints", std::move(rows)},
                 {"best", std::move(best)},
                 {"seconds", seconds.count()}};
  write_report(config, result);
  return result;
}

std::string describe_eval(const nlohmann::ordered_json& result) {
  if (!result.contains("dry_run")) return ranking_text(result);
  std::string text = "would measure " + std::to_string(result.at("utterances").get<int64_t>()) +
                     " utterances (" + result.at("split").get<std::string>() + ") with:";
  for (const Json& name : result.at("checkpoints")) text += " " + name.get<std::string>();
  return text + "\n";
}

}  // namespace ttsft
