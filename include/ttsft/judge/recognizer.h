// Speech to text. What is said by whom it was recognised: a recogniser is named in every report.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "ttsft/audio/audio.h"

namespace ttsft {

struct Recognized {
  std::string text;         // trimmed; empty where nothing was heard
  double confidence = 0.0;  // 0 to 1: the mean probability of the tokens (geometric); NaN where the
                            // recogniser tells none
  std::string language;     // "en"; empty where the recogniser tells none
  bool repetitive = false;  // it went round in circles: its text is not to be trusted
};

struct RecognizerOptions {
  std::string language;  // "en", "zh"...; empty: the recogniser's own, or found by it
  std::string device = "auto";
  int beams = 1;    // 1: greedy
  int threads = 0;  // of a recogniser with threads of its own; 0: as many as LibTorch has
};

class Recognizer {
 public:
  virtual ~Recognizer() = default;
  // "whisper tiny.en (xxh3 ...)": with a hash of the weights
  virtual std::string name() const = 0;
  // One result for each clip, of any rate and length.
  virtual std::vector<Recognized> transcribe(const std::vector<Audio>& clips) = 0;
};

// A folder: Whisper in the layout of Hugging Face (config.json, model.safetensors, tokenizer.json)
// or of CTranslate2 (config.json, model.bin), run natively; else a model of sherpa-onnx's zoo
// (tokens.txt and .onnx files), run by sherpa-onnx. UsageError with what was looked for.
std::unique_ptr<Recognizer> open_recognizer(const std::filesystem::path& folder,
                                            const RecognizerOptions& options = {});

}  // namespace ttsft
