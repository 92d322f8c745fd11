// What a model does with one recording before training: audio and text in, a row of its training
// format out.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "ttsft/audio/audio.h"
#include "ttsft/audio/guards.h"
#include "ttsft/data/prepared_set.h"
#include "ttsft/data/utterance.h"

namespace ttsft {

// One recording on its way through prep. The engine fills the first part, the adapter the rest.
struct PrepItem {
  const Utterance* utterance = nullptr;
  Audio audio;  // mono, the file's own rate; empty when the row needs none; released after load()
  std::vector<float> wave;        // load() leaves here what encode() wants (at the encoder's rate)
  std::vector<int64_t> text_ids;  // load() may leave the text's ids for encode()
  nlohmann::ordered_json row;     // encode(): the row of the prepared set
  // encode() may leave here the writing of the files that the row names. Called once, from another
  // thread, while the next batch is encoded; the row counts as prepared only after it.
  std::function<void()> save;
  double seconds = 0;   // of audio
  std::string refused;  // set by load() or encode(): why this row cannot be used; the run goes on
                        // without it
};

// What a speaker's voice is taken from.
struct VoiceRecording {
  std::filesystem::path file;
  std::string text;  // what is said in it; "": not known
  std::string clip;  // the utterance that it is; "": none of the set
};

// What prep has kept, when all of it is encoded.
struct KeptSet {
  std::vector<Utterance> rows;                   // reused ones too
  std::set<std::string> validation;              // ids
  std::map<std::string, VoiceRecording> voices;  // by speaker; those without a recording lack
};

class Preparer {
 public:
  virtual ~Preparer() = default;

  // All beyond the recording and its row that decides the result: weights of the encoders, options,
  // format version.
  virtual std::string fingerprint() const = 0;
  virtual AudioLimits limits() const = 0;
  // False when the row brings its own codes and only has to be checked.
  virtual bool needs_audio(const Utterance& utterance) const = 0;
  // Hash of what the row refers to beside its recording (files that upstream's tools encoded): a
  // part of the row's content key.
  virtual std::string content_hash(const Utterance& /*utterance*/) const { return ""; }

  // Whether the files that a row of an earlier run refers to are still there; without them it is
  // made anew.
  virtual bool intact(const nlohmann::ordered_json& /*row*/) const { return true; }

  // CPU work of one recording: resampling and the like. Called from several threads at once.
  virtual void load(PrepItem& item) const = 0;
  // Length that batches are sorted and budgeted by, after load(); samples at the encoder's rate.
  virtual int64_t length(const PrepItem& item) const = 0;
  // Encodes a batch of like lengths. Each row must come out as if it were alone.
  virtual void encode(std::span<PrepItem*> batch) = 0;
  // Budget of a batch in units of length(), padding included: data.batch_seconds.
  virtual int64_t batch_budget() const = 0;

  // Whether the row cannot be without a recording of its speaker's voice. Where the source names
  // none, the engine fills in the one that it has chosen for the speaker.
  virtual bool needs_reference(const Utterance& /*utterance*/) const { return false; }

  // Files of the whole set beside the rows (speaker vectors, statistics), written into the prepared
  // folder. Returns what index.json should say about them.
  virtual nlohmann::ordered_json finish(const KeptSet& set,
                                        const std::filesystem::path& folder) = 0;
  // The finished set in the form of upstream's tools, for these alone: ttsft reads none of it.
  // Called after the index was written, with nothing but the set that a later step will open.
  virtual void write_for_upstream(const PreparedSet& /*set*/) {}
  // Files and folders of the prepared folder that later steps read beside the rows. Those that are
  // there after finish() are covered by index.json.
  virtual std::vector<std::string> set_files() const { return {}; }
};

}  // namespace ttsft
