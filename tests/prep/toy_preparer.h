// A model with the smallest preparer that uses every part of the interface: it "encodes" a
// recording into its sample count and loudest sample. What the engine asked of it is logged.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>

#include "ttsft/core/error.h"
#include "ttsft/io/atomic_file.h"
#include "ttsft/model/adapter.h"

namespace ttsft {

struct ToyLog {
  std::atomic<int> loads = 0;
  std::vector<std::vector<std::string>> batches;  // ids
  std::vector<std::string> finished;              // ids given to finish()
  std::map<std::string, VoiceRecording> voices;   // given to finish()
  std::set<std::string> validation;               // given to finish()
  bool needs_reference = false;
  std::function<void()> before_encode = [] {};
  std::function<void(const std::string& id)> save;  // what item.save does; none: no files
  int64_t most_samples = 0;                         // of a batch; above it memory is out. 0: none
  std::function<bool(const std::string& id)> intact = [](const std::string&) { return true; };
  std::function<std::string(const std::string& id)> content_hash = [](const std::string&) {
    return "";
  };
};

class ToyPreparer : public Preparer {
 public:
  static constexpr int kRate = 16000;

  ToyPreparer(std::string fingerprint, int64_t budget, ToyLog& log)
      : fingerprint_(std::move(fingerprint)), budget_(budget), log_(log) {}

  std::string fingerprint() const override { return fingerprint_; }
  AudioLimits limits() const override { return {.sample_rate = kRate, .min_seconds = 0.1}; }
  bool needs_audio(const Utterance& utterance) const override {
    return !utterance.row.contains("audio_codes");
  }
  bool intact(const nlohmann::ordered_json& row) const override {
    if (!row.is_object()) return true;
    return log_.intact(std::filesystem::path(row.value("audio", "")).stem().string());
  }
  std::string content_hash(const Utterance& utterance) const override {
    return log_.content_hash(utterance.id);
  }
  void load(PrepItem& item) const override {
    ++log_.loads;
    if (item.utterance->text == "unspeakable") item.refused = "the text has no token";
    if (item.utterance->text == "broken") throw DataError("cannot be loaded", item.utterance->id);
    if (item.audio.samples.empty()) return;
    item.wave = item.audio.sample_rate == kRate
                    ? item.audio.samples
                    : resample_soxr(item.audio.samples, item.audio.sample_rate, kRate);
  }
  int64_t length(const PrepItem& item) const override {
    return static_cast<int64_t>(item.wave.size());
  }
  void encode(std::span<PrepItem*> batch) override {
    log_.before_encode();
    check_memory(batch);
    log_.batches.emplace_back();
    for (PrepItem* item : batch) {
      log_.batches.back().push_back(item->utterance->id);
      item->row = item->utterance->row;
      if (log_.save) item->save = [this, id = item->utterance->id] { log_.save(id); };
      if (item->utterance->text == "unencodable") item->refused = "no code fits";
      if (item->utterance->text == "poison")
        throw DataError("breaks its batch", item->utterance->id);
      if (item->row.contains("audio_codes")) {
        item->seconds = 2;
        continue;
      }
      float peak = 0;
      for (const float sample : item->wave) peak = std::max(peak, std::abs(sample));
      item->row["audio_codes"] = {item->wave.size(), std::lround(peak * 100)};
    }
  }
  int64_t batch_budget() const override { return budget_; }
  bool needs_reference(const Utterance&) const override { return log_.needs_reference; }
  nlohmann::ordered_json finish(const KeptSet& set, const std::filesystem::path& folder) override {
    for (const Utterance& row : set.rows) log_.finished.push_back(row.id);
    log_.voices = set.voices;
    log_.validation = set.validation;
    write_text_atomic(folder / "statistics.txt", std::to_string(set.rows.size()));
    return {{"statistics", "statistics.txt"}};
  }

  std::vector<std::string> set_files() const override { return {"statistics.txt"}; }

 private:
  void check_memory(std::span<PrepItem*> batch) const {
    const auto needed =
        static_cast<int64_t>(batch.front()->wave.size()) * static_cast<int64_t>(batch.size());
    if (log_.most_samples > 0 && needed > log_.most_samples)
      throw c10::OutOfMemoryError({__func__, __FILE__, __LINE__}, "out of memory");
  }

  std::string fingerprint_;
  int64_t budget_;
  ToyLog& log_;
};

class ToyAdapter : public ModelAdapter {
 public:
  explicit ToyAdapter(int64_t budget = 20000) : budget_(budget) {
    info_.name = "toy";
    info_.rates = {.encoder_in = ToyPreparer::kRate, .codec_out = 24000, .speaker_encoder = 8000};
    info_.license = {.weights = "Apache-2.0", .commercial = true, .note = ""};
  }

  const ModelInfo& info() const override { return info_; }
  std::shared_ptr<Section> make_options() const override { return nullptr; }
  void preset(RunConfig&) const override {}
  std::string recognise(const std::filesystem::path& folder) const override {
    return std::filesystem::exists(folder / "toy.txt") ? "toy, no layers" : "";
  }
  Abilities abilities(const std::filesystem::path&) const override { return can; }
  std::unique_ptr<Preparer> make_preparer(const ModelContext& context) const override {
    return std::make_unique<ToyPreparer>(read_text(context.config.checkpoint / "toy.txt"), budget_,
                                         log);
  }
  std::unique_ptr<Stage> make_stage(const ModelContext&, const CheckpointRef&) const override {
    return nullptr;
  }
  std::unique_ptr<Synthesizer> make_synthesizer(const ModelContext&, const CheckpointSet&,
                                                double) const override {
    return nullptr;
  }
  Rounding export_checkpoint(const ModelContext&, const CheckpointSet&, double,
                             const std::filesystem::path&) const override {
    return {};
  }

  mutable ToyLog log;
  ModelInfo info_;
  Abilities can;

 private:
  int64_t budget_;
};

}  // namespace ttsft
