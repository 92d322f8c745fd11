#include "ttsft/judge/whisper_recognizer.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "ttsft/core/error.h"
#include "ttsft/core/hash.h"
#include "ttsft/judge/whisper_decode.h"
#include "ttsft/judge/whisper_features.h"
#include "ttsft/judge/whisper_files.h"
#include "ttsft/judge/whisper_tokens.h"
#include "ttsft/judge/whisper_windows.h"
#include "ttsft/nn/device.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;

constexpr double kNoSpeech = 0.6, kUnlikely = -1.0,
                 kRepetitive = 2.4;  // upstream's defaults
constexpr int64_t kMostWindows = 16; // at a time
constexpr int64_t kHeardBytes =
    int64_t{2} << 30; // that keys and values of all windows may take
constexpr int64_t kEncoderWindows =
    4; // attention of 1500 positions is larger than its result

std::string name_of(const WhisperFolder &folder) {
  std::string name =
      fs::absolute(folder.folder).lexically_normal().filename().string();
  if (name.empty())
    name = fs::absolute(folder.folder).parent_path().filename().string();
  if (name.starts_with("whisper-"))
    name.erase(0, 8);
  std::string hash;
  for (const fs::path &file : folder.weight_files)
    hash += hash_file(file);
  if (folder.weight_files.size() > 1)
    hash = hash_text(hash);
  return "whisper " + name + " (xxh3 " + hash.substr(0, 16) + ")";
}

// What is known of a clip so far.
struct Transcript {
  std::string text;
  std::vector<int64_t> tokens; // of a long clip
  int64_t language = -1;
  double log_probability = 0;
  int64_t counted = 0; // tokens in it
  bool repetitive = false;
};

// A long clip on its way.
struct Reading {
  size_t clip;
  torch::Tensor log_mel; // [mels, frames and a window of silence]
  int64_t frames = 0, at = 0;
};

class WhisperRecognizer : public Recognizer {
public:
  WhisperRecognizer(const fs::path &folder, const RecognizerOptions &options)
      : WhisperRecognizer(read_whisper_folder(folder), options,
                          resolve_device(options.device)) {}

  std::string name() const override { return name_; }

  std::vector<Recognized> transcribe(const std::vector<Audio> &clips) override {
    c10::InferenceMode guard;
    std::vector<Transcript> transcripts(clips.size());
    for (Transcript &transcript : transcripts)
      transcript.language = language_;
    std::vector<size_t> brief, lengthy;
    for (size_t i = 0; i < clips.size(); ++i) {
      if (clips[i].samples.empty())
        continue;
      if (clips[i].sample_rate <= 0)
        throw DataError("a clip without a sample rate");
      (clips[i].seconds() * kFramesPerSecond <= static_cast<double>(window_)
           ? brief
           : lengthy)
          .push_back(i);
    }
    read_brief(clips, brief, transcripts);
    read_lengthy(clips, lengthy, transcripts);
    std::vector<Recognized> results;
    for (const Transcript &transcript : transcripts)
      results.push_back(result_of(transcript));
    return results;
  }

private:
  static constexpr double kFramesPerSecond = double{kWhisperRate} / kWhisperHop;

  WhisperRecognizer(const WhisperFolder &folder,
                    const RecognizerOptions &options, torch::Device device)
      : device_(device), name_(name_of(folder)), tokens_(folder),
        whisper_(
            load_whisper(folder, device,
                         device.is_cpu() ? torch::kFloat32 : torch::kFloat16)),
        features_(folder.options.mels, device),
        window_(folder.options.window_frames()) {
    if (options.beams < 1) {
      throw UsageError(
          "beams: " + std::to_string(options.beams), "",
          "1 is the likeliest token at each step, 5 is upstream's search");
    }
    english_ = tokens_.languages().empty();
    if (!options.language.empty())
      language_ = tokens_.language(options.language);
    const WhisperOptions &sizes = folder.options;
    const int64_t heard = 2 * sizes.decoder_layers * sizes.encoder_positions *
                          sizes.width * (device.is_cpu() ? 4 : 2);
    at_once_ = std::clamp<int64_t>(kHeardBytes / heard, 1, kMostWindows);
    search_.beams = options.beams;
    search_.end = tokens_.end();
    search_.no_speech = tokens_.no_speech();
    search_.most_tokens = sizes.decoder_positions / 2;
    plain_rules_ = whisper_rules(folder, tokens_, /*timestamps=*/false, device);
    stamp_rules_ = whisper_rules(folder, tokens_, /*timestamps=*/true, device);
  }

  std::vector<float> samples_of(const Audio &clip) const {
    return at_rate(clip, kWhisperRate);
  }

  // Windows [B, mels, frames] of the clips that are listed, whose languages are
  // found where they are not known.
  std::vector<WhisperText> read(const torch::Tensor &log_mel,
                                const std::vector<size_t> &clips,
                                std::vector<Transcript> &transcripts,
                                bool timestamps) {
    std::vector<torch::Tensor> encoded;
    for (const torch::Tensor &part : log_mel.split(kEncoderWindows))
      encoded.push_back(whisper_->encoder(part));
    const WhisperHeard heard = whisper_->decoder->hear(torch::cat(encoded));
    const auto unknown = [&](size_t clip) {
      return !english_ && transcripts[clip].language < 0;
    };
    if (std::any_of(clips.begin(), clips.end(), unknown)) {
      const std::vector<int64_t> found = likeliest_languages(
          whisper_, heard, tokens_.start(), tokens_.languages());
      for (size_t i = 0; i < clips.size(); ++i)
        if (unknown(clips[i]))
          transcripts[clips[i]].language = found[i];
    }
    std::vector<torch::Tensor> prompts;
    for (const size_t clip : clips) {
      prompts.push_back(
          torch::tensor(tokens_.prompt(transcripts[clip].language, timestamps),
                        torch::kInt64));
    }
    search_.rules = timestamps ? stamp_rules_ : plain_rules_;
    return decode_windows(whisper_, heard, torch::stack(prompts).to(device_),
                          search_);
  }

  // Takes a window's probabilities down; false where nobody speaks in it.
  bool hears(const WhisperText &window, Transcript &transcript) const {
    if (window.no_speech > kNoSpeech &&
        window.mean_log_probability() < kUnlikely)
      return false;
    for (size_t i = 0; i < window.log_probabilities.size(); ++i) {
      if (i < window.tokens.size() &&
          window.tokens[i] >= tokens_.first_timestamp())
        continue;
      transcript.log_probability += window.log_probabilities[i];
      ++transcript.counted;
    }
    const std::string said = tokens_.text(window.tokens);
    transcript.repetitive |= compression_ratio(said) > kRepetitive;
    return true;
  }

  void read_brief(const std::vector<Audio> &clips, std::vector<size_t> order,
                  std::vector<Transcript> &transcripts) {
    // Clips of like length share a batch: their texts end together.
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
      return clips[a].seconds() > clips[b].seconds();
    });
    for (size_t first = 0; first < order.size();
         first += static_cast<size_t>(at_once_)) {
      const size_t count =
          std::min(static_cast<size_t>(at_once_), order.size() - first);
      const std::vector<size_t> batch(
          order.begin() + static_cast<ptrdiff_t>(first),
          order.begin() + static_cast<ptrdiff_t>(first + count));
      std::vector<torch::Tensor> mels;
      for (const size_t clip : batch)
        mels.push_back(features_(samples_of(clips[clip]), window_));
      const std::vector<WhisperText> windows =
          read(torch::stack(mels), batch, transcripts, /*timestamps=*/false);
      for (size_t i = 0; i < count; ++i) {
        Transcript &transcript = transcripts[batch[i]];
        if (hears(windows[i], transcript))
          transcript.text = tokens_.text(windows[i].tokens);
      }
    }
  }

  Reading open_reading(const std::vector<Audio> &clips, size_t clip) const {
    const std::vector<float> samples = samples_of(clips[clip]);
    const auto frames = (std::ssize(samples) + kWhisperHop - 1) / kWhisperHop;
    return {clip, features_(samples, frames + window_), frames, 0};
  }

  void read_lengthy(const std::vector<Audio> &clips,
                    const std::vector<size_t> &order,
                    std::vector<Transcript> &transcripts) {
    std::vector<Reading> readings;
    size_t next = 0;
    for (;;) {
      while (next < order.size() && std::ssize(readings) < at_once_)
        readings.push_back(open_reading(clips, order[next++]));
      if (readings.empty())
        return;
      std::vector<torch::Tensor> mels;
      std::vector<size_t> batch;
      for (const Reading &reading : readings) {
        mels.push_back(reading.log_mel.narrow(1, reading.at, window_));
        batch.push_back(reading.clip);
      }
      const std::vector<WhisperText> windows =
          read(torch::stack(mels), batch, transcripts, /*timestamps=*/true);
      for (size_t i = 0; i < readings.size(); ++i) {
        Reading &reading = readings[i];
        const int64_t frames = std::min(window_, reading.frames - reading.at);
        Transcript &transcript = transcripts[reading.clip];
        if (!hears(windows[i], transcript)) {
          reading.at += frames;
          continue;
        }
        const WindowText said = read_window(windows[i].tokens, tokens_.end(),
                                            tokens_.first_timestamp(), frames);
        transcript.tokens.insert(transcript.tokens.end(), said.text.begin(),
                                 said.text.end());
        reading.at += said.frames;
      }
      std::erase_if(readings, [](const Reading &reading) {
        return reading.at >= reading.frames;
      });
    }
  }

  Recognized result_of(const Transcript &transcript) const {
    Recognized result;
    result.text = transcript.tokens.empty() ? transcript.text
                                            : tokens_.text(transcript.tokens);
    result.confidence = transcript.counted > 0
                            ? std::exp(transcript.log_probability /
                                       static_cast<double>(transcript.counted))
                            : std::numeric_limits<double>::quiet_NaN();
    if (english_)
      result.language = "en";
    if (transcript.language >= 0)
      result.language = tokens_.language_name(transcript.language);
    result.repetitive = transcript.repetitive;
    return result;
  }

  torch::Device device_;
  std::string name_;
  WhisperTokens tokens_;
  Whisper whisper_;
  WhisperFeatures features_;
  int64_t window_;        // frames
  bool english_ = false;  // the model knows no other language
  int64_t language_ = -1; // -1: to be found, or English
  int64_t at_once_ = 1;   // windows
  WhisperSearch search_;
  WhisperRules plain_rules_, stamp_rules_;
};

} // namespace

std::unique_ptr<Recognizer>
open_whisper_recognizer(const fs::path &folder,
                        const RecognizerOptions &options) {
  return std::make_unique<WhisperRecognizer>(folder, options);
}

} // namespace ttsft
