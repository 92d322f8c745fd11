#include "ttsft/prep/prep.h"

#include <algorithm>
#include <chrono>
#include <future>
#include <map>
#include <optional>
#include <set>

#include "src/prep/clip_reader.h"
#include "src/prep/content_key.h"
#include "src/prep/encode.h"
#include "src/prep/guard_report.h"
#include "src/prep/lengths.h"
#include "src/prep/speaker_voices.h"
#include "ttsft/core/error.h"
#include "ttsft/core/hash.h"
#include "ttsft/core/log.h"
#include "ttsft/core/progress.h"
#include "ttsft/core/signals.h"
#include "ttsft/core/strings.h"
#include "ttsft/core/version.h"
#include "ttsft/data/importers.h"
#include "ttsft/data/prepared_set.h"
#include "ttsft/data/recordings.h"
#include "ttsft/data/text_guards.h"
#include "ttsft/io/atomic_file.h"
#include "ttsft/io/json_reader.h"
#include "ttsft/model/voices.h"
#include "ttsft/nn/device.h"
#include "ttsft/nn/precision.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

constexpr const char* kTextRate = "text_rate";
constexpr const char* kRecordingsFolder = "recordings";  // cut out of larger files

class PrepRun {
 public:
  PrepRun(const RunConfig& config, const ModelAdapter& adapter, const PrepOptions& options)
      : config_(config),
        adapter_(adapter),
        options_(options),
        report_(config.data.guards),
        texts_(adapter.info().markup),
        start_(std::chrono::steady_clock::now()) {}

  ordered_json run();

 private:
  void import();
  void make_preparer();
  void refuse_recordings(const Abilities& abilities);
  void make_files();
  void find_voices();
  void read_and_encode();
  std::optional<PreparedRow> reusable(const std::string& id, const std::string& key) const;
  void take(Window window, Encoder* encoder, Progress& progress);
  void reject(const Clip& clip);
  void keep(const Clip& clip);
  void warn(size_t number, const Finding& finding);
  void check_rates();
  void finish();
  std::vector<LearnedVoice> speakers() const;
  ordered_json speakers_json() const;
  void split();
  ordered_json validation_choice() const;
  ordered_json rates() const;
  ordered_json totals() const;
  [[noreturn]] void stop() const;

  const RunConfig& config_;
  const ModelAdapter& adapter_;
  const PrepOptions& options_;
  GuardReport report_;
  TextGuards texts_;
  std::chrono::steady_clock::time_point start_;

  torch::Device device_ = torch::kCPU;
  ImportedSet source_;
  Rates rates_;
  std::unique_ptr<Preparer> preparer_;
  std::string fingerprint_;
  std::unique_ptr<PreparedWriter> writer_;           // not in a dry run
  std::map<std::string, PreparedRows::Entry> rows_;  // of an earlier set, in a dry run

  std::map<size_t, RejectedRow> rejected_;  // by number in the source
  std::map<size_t, double> kept_;           // seconds
  std::multimap<size_t, WarnedRow> warned_;
  VoiceRecordings voices_;
  std::optional<ScratchFolder> cut_;  // recordings of a dry run
  int64_t encoded_ = 0, reused_ = 0, batches_ = 0;
  std::vector<std::string> validation_;
};

ordered_json PrepRun::run() {
  require(config_, config_.checkpoint, "checkpoint");
  require(config_, config_.data.source.empty() ? fs::path() : config_.data.source.paths.front(),
          "data.source");
  require(config_, config_.data.prepared, "data.prepared");
  device_ = resolve_device(config_.device);
  report_.check_license(adapter_.info());
  import();
  make_preparer();
  make_files();
  find_voices();
  read_and_encode();
  finish();
  return totals();
}

void PrepRun::import() {
  const DataConfig& data = config_.data;
  source_ = import_sources(data.source.paths, {data.speaker, data.reference, data.instruct,
                                               adapter_.encoded_keys(), data.columns});
  log_info("source: ", data.source.text(), " (", source_.format, "), ", source_.utterances.size(),
           " usable rows");
  for (const RejectedRow& row : source_.rejected) report_.refuse(row);
  report_.check_count(source_.utterances.size());
}

// What the checkpoint cannot do is said before a single recording is read.
void PrepRun::make_preparer() {
  const fs::path& folder = config_.checkpoint;
  if (!fs::is_directory(folder)) {
    throw UsageError("the checkpoint folder is not there", "checkpoint: " + folder.string(),
                     "download the release first");
  }
  const std::string found = adapter_.recognise(folder);
  if (found.empty()) {
    throw DataError("not a checkpoint of " + adapter_.info().name, folder.string(),
                    "see `ttsft models` for the releases it takes");
  }
  log_info("checkpoint: ", found);
  refuse_recordings(adapter_.abilities_under(config_));
  ModelContext context{config_};
  context.device = device_;
  preparer_ = adapter_.make_preparer(context);
  fingerprint_ = preparer_->fingerprint();
  rates_ = adapter_.info().rates;
  rates_.encoder_in = preparer_->limits().sample_rate;

  const fs::path& prepared = config_.data.prepared;
  if (!options_.dry_run) {
    writer_ = std::make_unique<PreparedWriter>(prepared, adapter_.info().name);
  } else if (fs::exists(prepared / "index.json")) {
    try {
      const PreparedRows rows = PreparedSet::look(prepared, adapter_.info().name).all();
      for (const PreparedRows::Entry& row : rows.entries()) rows_.emplace(row.id, row);
    } catch (const DataError& error) {
      log_warning("nothing of the earlier set is reused (", error.what(), ")");
    }
  }
}

// Without an encoder only rows that bring their codes can be taken.
void PrepRun::refuse_recordings(const Abilities& abilities) {
  if (abilities.encode_audio) return;
  const std::vector<std::string> keys = adapter_.encoded_keys();
  std::vector<Utterance> kept;
  for (Utterance& utterance : source_.utterances) {
    const bool encoded = std::any_of(keys.begin(), keys.end(), [&](const std::string& key) {
      return utterance.row.contains(key);
    });
    if (encoded) {
      kept.push_back(std::move(utterance));
      continue;
    }
    RejectedRow row{utterance.id, utterance.where, abilities.why_not, "encoder_missing"};
    report_.refuse(row);
    source_.rejected.push_back(std::move(row));
  }
  source_.utterances = std::move(kept);
  if (!source_.utterances.empty()) return;
  throw DataError(
      "this checkpoint encodes no recordings: " + abilities.why_not, config_.checkpoint.string(),
      abilities.remedy.empty() ? "give rows that bring " + join(keys, " or ") : abilities.remedy);
}

// Recordings inside larger files become files of their own.
void PrepRun::make_files() {
  const bool any = std::any_of(source_.utterances.begin(), source_.utterances.end(),
                               [](const Utterance& row) { return row.part.has_value(); });
  if (!any && !writer_) return;
  if (!writer_) cut_.emplace();
  const size_t before = source_.rejected.size();
  make_recordings(source_.utterances, source_.rejected,
                  (cut_ ? cut_->path() : writer_->folder()) / kRecordingsFolder);
  for (size_t i = before; i < source_.rejected.size(); ++i) report_.refuse(source_.rejected[i]);
}

// The clip that an earlier prep chose for each speaker.
std::map<std::string, std::string> chosen_earlier(const fs::path& prepared) {
  std::map<std::string, std::string> clips;
  if (!fs::exists(prepared / "index.json")) return clips;
  try {
    const ordered_json index = read_json_object(prepared / "index.json");
    const ordered_json speakers = index.value("speakers", ordered_json::object());
    for (const auto& [speaker, entry] : speakers.items())
      if (entry.contains("voice") && entry["voice"].is_string()) clips[speaker] = entry["voice"];
  } catch (const std::exception&) {
    clips.clear();  // whoever opens the set says what is wrong with it
  }
  return clips;
}

void PrepRun::find_voices() {
  std::set<std::string> refused;
  check_references(source_.utterances, config_.data.reference, preparer_->limits().sample_rate,
                   report_.policy(), [&](const Utterance& row, const Finding& finding) {
                     refused.insert(row.id);
                     RejectedRow bad{row.id, row.where,
                                     "its reference " + row.reference + ": " + finding.message,
                                     finding.guard};
                     report_.refuse(bad);
                     source_.rejected.push_back(std::move(bad));
                   });
  std::erase_if(source_.utterances, [&](const Utterance& row) { return refused.contains(row.id); });
  voices_ = choose_voices(source_.utterances, config_.data.reference,
                          chosen_earlier(config_.data.prepared), preparer_->limits());
  for (Utterance& row : source_.utterances) {
    const auto voice = voices_.find(row.speaker);
    if (!row.reference.empty() || voice == voices_.end() || !preparer_->needs_reference(row))
      continue;
    row.reference_path = voice->second.file;
    row.reference = row.reference_path.string();
    row.row["ref_audio"] = row.reference;
  }
}

std::optional<PreparedRow> PrepRun::reusable(const std::string& id, const std::string& key) const {
  if (writer_) return writer_->reusable(id, key);
  const auto found = rows_.find(id);
  if (found == rows_.end() || found->second.key != key) return std::nullopt;
  return found->second.parse();
}

void PrepRun::read_and_encode() {
  const ContentKeys keys(adapter_.info().name, fingerprint_, preparer_->limits());
  ClipReader reader(
      source_.utterances, *preparer_, keys, report_.policy(), texts_,
      [this](const std::string& id, const std::string& key) { return reusable(id, key); });
  std::optional<Encoder> encoder;
  if (writer_) encoder.emplace(*preparer_, *writer_, device_);
  Progress progress(options_.dry_run ? "measure" : "prep",
                    static_cast<int64_t>(source_.utterances.size()), "clips");

  const auto read = [&reader] { return reader.next(); };
  auto ahead = std::async(std::launch::async, read);
  try {
    for (Window window = ahead.get(); !window.empty(); window = ahead.get()) {
      ahead = std::async(std::launch::async, read);
      take(std::move(window), encoder ? &*encoder : nullptr, progress);
      if (stop_signal() != 0) stop();
    }
  } catch (...) {
    reader.cancel();  // the future waits for its thread
    throw;
  }
  if (stop_signal() != 0) stop();
}

void PrepRun::take(Window window, Encoder* encoder, Progress& progress) {
  std::vector<Clip*> waiting;
  for (const auto& clip : window) {
    for (const Finding& finding : clip->findings) {
      if (finding.action == GuardAction::kWarn && clip->refused.empty()) {
        warn(clip->number, finding);
      }
    }
    if (!clip->refused.empty()) {
      reject(*clip);
    } else if (clip->reused) {
      keep(*clip);
      ++reused_;
    } else {
      waiting.push_back(clip.get());
      continue;
    }
    progress.advance();
  }
  if (!encoder) {  // a dry run
    for (const Clip* clip : waiting) keep(*clip);
    encoded_ += static_cast<int64_t>(waiting.size());
    progress.advance(static_cast<int64_t>(waiting.size()));
    return;
  }
  encoder->encode(waiting, [&](const Clip& clip) {
    if (clip.refused.empty()) {
      keep(clip);
      ++encoded_;
    } else {
      reject(clip);
    }
    progress.advance(1, encoder->speed());
  });
  batches_ = encoder->batches();
}

void PrepRun::reject(const Clip& clip) {
  const Utterance& utterance = *clip.item.utterance;
  RejectedRow row{utterance.id, utterance.where, clip.refused, clip.guard};
  report_.refuse(row);
  rejected_.emplace(clip.number, std::move(row));
}

void PrepRun::warn(size_t number, const Finding& finding) {
  const Utterance& row = source_.utterances[number];
  report_.warn(row, finding);
  warned_.emplace(number, WarnedRow{row.id, row.where, finding.message, finding.guard});
}

void PrepRun::keep(const Clip& clip) {
  kept_.emplace(clip.number, clip.item.seconds);
  const int rate = clip.notes.is_object() ? clip.notes.value("sample_rate", 0) : 0;
  if (rate > 0) report_.resample(rate, rates_.encoder_in);
}

void PrepRun::stop() const {
  if (writer_) {
    log_info("stopped: ", encoded_ + reused_, " of ", source_.utterances.size(),
             " clips are safe in ", writer_->folder().string(), "; run prep again to continue");
  }
  throw Stopped{stop_signal()};
}

// Texts that are far too long or short for their recordings: another clip's, or cut off.
void PrepRun::check_rates() {
  const GuardAction action = report_.policy().action(kTextRate);
  if (action == GuardAction::kOff) return;
  std::map<size_t, double> rates;  // letters per second
  for (const auto& [number, seconds] : kept_) {
    const double letters = spoken_length(source_.utterances[number].text);
    if (seconds > 0 && letters > 0) rates[number] = letters / seconds;
  }
  for (const auto& [number, message] : far_rates(rates)) {
    const Utterance& row = source_.utterances[number];
    if (action == GuardAction::kWarn) {
      warn(number, {kTextRate, action, message});
      continue;
    }
    RejectedRow bad{row.id, row.where, message, kTextRate};
    report_.refuse(bad);
    rejected_.emplace(number, std::move(bad));
    kept_.erase(number);
  }
}

std::vector<LearnedVoice> PrepRun::speakers() const {
  std::map<std::string, LearnedVoice> speakers;
  for (const auto& [number, seconds] : kept_) {
    LearnedVoice& speaker = speakers[source_.utterances[number].speaker];
    ++speaker.clips;
    speaker.seconds += seconds;
  }
  std::vector<LearnedVoice> list;
  for (auto& [name, speaker] : speakers) {
    speaker.speaker = name;
    if (const auto voice = voices_.find(name); voice != voices_.end()) {
      speaker.recording = voice->second.file;
      speaker.text = voice->second.text;
    }
    list.push_back(std::move(speaker));
  }
  return list;
}

ordered_json PrepRun::speakers_json() const {
  ordered_json json = ordered_json::object();
  for (const LearnedVoice& speaker : speakers()) {
    json[speaker.speaker] = {{"clips", speaker.clips}, {"seconds", speaker.seconds}};
    const auto voice = voices_.find(speaker.speaker);
    if (voice == voices_.end()) continue;
    json[speaker.speaker][voice->second.clip.empty() ? "reference" : "voice"] =
        voice->second.clip.empty() ? voice->second.file.string() : voice->second.clip;
  }
  return json;
}

void PrepRun::finish() {
  check_rates();
  report_.log_summary(rates_);
  report_.check_count(kept_.size());
  std::vector<RejectedRow> rejected = source_.rejected;
  for (const auto& [number, row] : rejected_) rejected.push_back(row);
  report_.check_refused(rejected.size(), kept_.size());
  std::vector<std::string> order;
  KeptSet set;
  for (const auto& [number, seconds] : kept_) {
    set.rows.push_back(source_.utterances[number]);
    order.push_back(set.rows.back().id);
  }
  if (set.rows.empty()) {
    std::string remedy = "mend the recordings, or move the guard in data.guards";
    if (writer_) {
      try {
        writer_->finish({}, {}, rejected, {});  // leaves rejected.jsonl
      } catch (const DataError&) {
        remedy = "each reason is in " + (writer_->folder() / "rejected.jsonl").string();
      }
    }
    throw DataError("none of " + std::to_string(rejected.size()) + " clips can be used, " +
                        report_.top_reasons(),
                    config_.data.source.text(), remedy);
  }
  split();
  if (!writer_) return;

  ordered_json index;
  index["tool"] = std::string("ttsft ") + version();
  index["fingerprint"] = fingerprint_;
  index["source"] = {{"path", config_.data.source.text()}, {"format", source_.format}};
  index["rates"] = rates();
  index["totals"] = {{"utterances", kept_.size()},
                     {"seconds", length_summary(kept_).total},
                     {"rejected", rejected.size()}};
  index["resampled"] = report_.resampled();
  index["guards"] = report_.counts();
  index["validation"] = validation_choice();
  index["speakers"] = speakers_json();
  set.validation = {validation_.begin(), validation_.end()};
  for (const LearnedVoice& speaker : speakers())
    if (const auto voice = voices_.find(speaker.speaker); voice != voices_.end())
      set.voices.insert(*voice);
  index["model_files"] = preparer_->finish(set, writer_->folder());
  write_learned_voices(writer_->folder(), speakers());
  std::vector<std::string> files = preparer_->set_files();
  files.insert(files.end(), {kVoicesFile, kVoicesFolder});
  index["set_files"] = describe_set_files(writer_->folder(), files);
  std::vector<WarnedRow> warned;
  for (const auto& [number, row] : warned_)
    if (kept_.contains(number)) warned.push_back(row);
  if (stop_signal() != 0) stop();
  writer_->finish(order, validation_, rejected, std::move(index), warned);
  preparer_->write_for_upstream(PreparedSet::open(writer_->folder(), adapter_.info().name));
}

void PrepRun::split() {
  std::vector<std::string> all;
  std::vector<SplitClip> clips;
  for (size_t i = 0; i < source_.utterances.size(); ++i) {
    const Utterance& row = source_.utterances[i];
    all.push_back(row.id);
    if (kept_.contains(i)) clips.push_back({row.id, row.speaker, row.recording});
  }
  const ValidationChoice& choice = config_.data.validation;
  if (choice.list.empty()) {
    validation_ = validation_ids(clips, choice.share);
    return;
  }
  // A listed utterance may have been refused; only a name that the source does not know is an
  // error.
  for (const RejectedRow& row : source_.rejected) all.push_back(row.id);
  std::set<std::string> usable;
  for (const SplitClip& clip : clips) usable.insert(clip.id);
  const std::vector<std::string> listed = validation_ids(all, choice.list);
  for (const std::string& id : listed) {
    if (usable.count(id) > 0) validation_.push_back(id);
  }
  if (validation_.size() < listed.size()) {
    log_warning(listed.size() - validation_.size(), " of ", listed.size(), " utterances in ",
                choice.list.string(), " were refused and do not validate");
  }
  if (validation_.size() == clips.size()) {
    log_warning("data.validation lists every clip: nothing is left to train on");
  }
}

ordered_json PrepRun::validation_choice() const {
  const ValidationChoice& choice = config_.data.validation;
  if (choice.list.empty()) return {{"share", choice.share}};
  return {{"list", choice.list.string()}, {"hash", hash_file(choice.list)}};
}

ordered_json PrepRun::rates() const {
  return {{"encoder_in", rates_.encoder_in},
          {"codec_out", rates_.codec_out},
          {"speaker_encoder", rates_.speaker_encoder},
          {"frames_per_second", rates_.frames_per_second}};
}

ordered_json PrepRun::totals() const {
  const LengthSummary lengths = length_summary(kept_);
  const auto count = static_cast<int64_t>(source_.utterances.size() + source_.rejected.size());
  const auto kept = static_cast<int64_t>(kept_.size());
  const auto validation = static_cast<int64_t>(validation_.size());
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start_;
  ordered_json result;
  result["prepared"] = config_.data.prepared.string();
  result["model"] = adapter_.info().name;
  if (options_.dry_run) result["dry_run"] = true;
  result["source"] = {{"path", config_.data.source.text()}, {"format", source_.format}};
  result["utterances"] = count;
  result[options_.dry_run ? "to_encode" : "encoded"] = encoded_;
  result["reused"] = reused_;
  result["rejected"] = count - kept;
  result["seconds"] = lengths.total;
  result["lengths"] = lengths.json;
  result["speakers"] = speakers_json();
  result["train"] = kept - validation;
  result["validation"] = validation;
  result["rates"] = rates();
  result["resampled"] = report_.resampled();
  result["guards"] = report_.counts();
  if (!options_.dry_run) result["batches"] = batches_;
  result["elapsed_seconds"] = elapsed.count();
  return result;
}

}  // namespace

ordered_json run_prep(const RunConfig& config, const ModelAdapter& adapter,
                      const PrepOptions& options) {
  const PrecisionScope exact(Float32::kExact);  // codes are the same on every device
  return PrepRun(config, adapter, options).run();
}

}  // namespace ttsft
