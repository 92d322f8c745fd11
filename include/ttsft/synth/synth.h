// The synthesis engine: texts, or given codes, to wav files. Owns the decoding loop, its limits and
// all files; knows no model.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "ttsft/config/run_config.h"
#include "ttsft/model/adapter.h"

namespace ttsft {

// The flags of `ttsft synth`. Exactly one of text, texts and codes_in is given.
struct SynthOptions {
  std::optional<std::string> text;
  std::filesystem::path texts;     // a text per line, or `id|text`; out is then a folder
  std::filesystem::path codes_in;  // safetensors with one integer tensor `codes`, [F, C] or [F]
  std::filesystem::path out;  // wav, with texts a folder of <id>.wav, "-": standard output
  bool stream = false;        // the wave is written while it is made; a single text
  bool raw = false;           // samples without a header
  std::vector<std::string> checkpoints;  // of resolve_checkpoint_set; the base when there is none
  std::optional<double> lora_scale;      // synth.lora_scale when absent
  bool greedy = false;
  std::optional<int64_t> max_frames;  // synth.max_frames when absent; of each segment
  std::filesystem::path codes_out;    // safetensors, or with texts a folder of <id>.safetensors
  std::filesystem::path noise;        // recorded random tensors in place of our own draws
  bool dry_run = false;               // checks flags, texts and checkpoint; loads no model
};

// Texts are cut into segments as the model asks, segments of like length are decoded together, and
// each text's wav is written as soon as it is whole. A segment's random numbers depend on `seed`
// and its number within the text alone, so a text sounds the same alone and in a file of many.
// Several segments are joined with the model's own pause; their codes without any.
//
// Returns {"out", "seconds" (of audio), "frames", "rtf", "reached_limit", "segments", "checkpoint",
// "lora_scale", "sample_rate", "elapsed_seconds", "first_audio_seconds"}; with texts also "texts": [{"id", "out",
// "seconds", "frames", "segments", "reached_limit"}]. rtf is the time of decoding over the time of
// audio, loading left out; first_audio_seconds is the time until the first samples were there.
//
// UsageError: flags that contradict each other, an empty text, a place that cannot be written, all
// before a model is loaded. DataError: files of codes, noise or texts. RunError: no frame was
// generated, sound that is not a number. Stopped: after a signal; what is written is whole.
nlohmann::ordered_json run_synth(const RunConfig& config, const ModelAdapter& adapter,
                                 const SynthOptions& options);

std::string describe_synth(const nlohmann::ordered_json& result);

}  // namespace ttsft
