#include "speaker.h"

#include <algorithm>
#include <cmath>

#include "ttsft/core/error.h"
#include "ttsft/core/log.h"
#include "ttsft/core/progress.h"
#include "ttsft/core/signals.h"
#include "ttsft/nn/rng.h"

namespace ttsft {

void check_wave(const Audio& audio, const std::string& where) {
  const bool finite = std::all_of(audio.samples.begin(), audio.samples.end(),
                                  [](float value) { return std::isfinite(value); });
  if (!finite) {
    throw RunError("the model's sound holds values that are not numbers", where,
                   "try precision: fp32, or a lower --lora-scale");
  }
}

namespace {

constexpr double kPauseSeconds = 0.2;      // between segments
constexpr int64_t kStepsPerLookOnGpu = 8;  // a few steps too many cost less than a wait each

struct Segment {
  size_t text = 0, index = 0;  // which text, which of its segments
  std::string words;
};

struct SpokenSegment {
  Audio audio;
  torch::Tensor codes;
  bool reached_limit = false;
  bool done = false;
};

std::string place_of(const TextToSpeak& text, const Segment& segment, size_t segments) {
  if (segments == 1) return text.label;
  return text.label + ", segment " + std::to_string(segment.index + 1);
}

std::vector<Segment> cut(const Synthesizer& synthesizer, const std::vector<TextToSpeak>& texts) {
  std::vector<Segment> segments;
  for (size_t t = 0; t < texts.size(); ++t) {
    const std::vector<std::string> pieces = synthesizer.segments(texts[t].words);
    if (pieces.empty()) throw DataError("there is nothing to speak", texts[t].label);
    for (size_t i = 0; i < pieces.size(); ++i) segments.push_back({t, i, pieces[i]});
  }
  // Longest first: the memory that the run needs shows at once.
  std::stable_sort(segments.begin(), segments.end(), [](const Segment& a, const Segment& b) {
    return a.words.size() > b.words.size();
  });
  return segments;
}

// Steps until all rows are finished or the limit is reached. Which rows are not finished.
std::vector<bool> decode_frames(Synthesizer& synthesizer, std::span<const Prompt> prompts,
                                const SpeakOptions& options, Progress& progress) {
  synthesizer.begin(prompts, options.decode);
  const int64_t look_every = options.on_gpu ? kStepsPerLookOnGpu : 1;
  for (int64_t step = 1; step <= options.decode.max_frames; ++step) {
    if (stop_signal()) throw Stopped{stop_signal()};
    synthesizer.step();
    progress.advance();
    if (step % look_every == 0 && synthesizer.finished().all().item<bool>()) break;
  }
  const torch::Tensor finished = synthesizer.finished().to(torch::kCPU, torch::kBool);
  std::vector<bool> cut_off;
  for (int64_t r = 0; r < finished.size(0); ++r) cut_off.push_back(!finished[r].item<bool>());
  return cut_off;
}

std::vector<SpokenSegment> speak_batch(Synthesizer& synthesizer, std::span<const Segment> batch,
                                       const SpeakOptions& options, const Noise& noise,
                                       Progress& progress) {
  std::vector<Prompt> prompts;
  for (const Segment& segment : batch) {
    // By the number within the text alone: a text sounds the same in any company.
    const std::string purpose = "segment " + std::to_string(segment.index);
    prompts.push_back({segment.words, derive_seed(options.seed, purpose)});
  }
  const std::vector<bool> cut_off = decode_frames(synthesizer, prompts, options, progress);
  const std::vector<torch::Tensor> codes = synthesizer.codes();
  std::vector<Audio> audio = synthesizer.decode(codes, /*after_prompt=*/true, noise);
  if (codes.size() != batch.size() || audio.size() != batch.size()) {
    throw std::logic_error("the model returned another number of rows than it was given");
  }
  std::vector<SpokenSegment> spoken;
  for (size_t i = 0; i < batch.size(); ++i) {
    spoken.push_back({std::move(audio[i]), codes[i], cut_off[i], true});
  }
  return spoken;
}

void check_segment(const SpokenSegment& segment, const std::string& place,
                   const SpeakOptions& options) {
  if (segment.codes.size(0) == 0) log_warning(place, ": the model ended at once");
  if (segment.reached_limit) {
    log_warning(place, ": stopped at ", options.decode.max_frames,
                " frames, so the end may be missing; raise --max-frames, or cut the text");
  }
  check_wave(segment.audio, place);
}

SpokenText put_together(const std::vector<SpokenSegment>& segments) {
  SpokenText text;
  text.segments = std::ssize(segments);
  std::vector<torch::Tensor> codes;
  for (const SpokenSegment& segment : segments) {
    text.reached_limit = text.reached_limit || segment.reached_limit;
    text.audio.sample_rate = segment.audio.sample_rate;
    if (segment.codes.size(0) == 0) continue;
    codes.push_back(segment.codes);
    text.frames += segment.codes.size(0);
    std::vector<float>& samples = text.audio.samples;
    if (!samples.empty()) {
      samples.resize(samples.size() + static_cast<size_t>(kPauseSeconds * text.audio.sample_rate));
    }
    samples.insert(samples.end(), segment.audio.samples.begin(), segment.audio.samples.end());
  }
  if (!codes.empty()) text.codes = torch::cat(codes);
  return text;
}

}  // namespace

void speak(Synthesizer& synthesizer, const std::vector<TextToSpeak>& texts,
           const SpeakOptions& options, const Noise& noise,
           const std::function<void(size_t, const SpokenText&)>& deliver) {
  torch::InferenceMode guard;
  const std::vector<Segment> segments = cut(synthesizer, texts);
  if (!noise.empty() && segments.size() > 1) {
    throw UsageError("--noise was recorded for one segment, and the text is cut into " +
                         std::to_string(segments.size()),
                     "", "give a shorter text");
  }
  std::vector<std::vector<SpokenSegment>> spoken(texts.size());
  for (const Segment& segment : segments) {
    auto& of_text = spoken[segment.text];
    of_text.resize(std::max(of_text.size(), segment.index + 1));
  }
  const auto width = static_cast<size_t>(std::max<int64_t>(1, synthesizer.max_batch()));
  Progress progress("synth", 0, "frames");
  for (size_t begin = 0; begin < segments.size(); begin += width) {
    const std::span<const Segment> batch(segments.data() + begin,
                                         std::min(width, segments.size() - begin));
    std::vector<SpokenSegment> results = speak_batch(synthesizer, batch, options, noise, progress);
    for (size_t i = 0; i < batch.size(); ++i) {
      auto& of_text = spoken[batch[i].text];
      check_segment(results[i], place_of(texts[batch[i].text], batch[i], of_text.size()), options);
      of_text[batch[i].index] = std::move(results[i]);
    }
    for (const Segment& segment : batch) {
      auto& of_text = spoken[segment.text];
      const bool whole = std::all_of(of_text.begin(), of_text.end(),
                                     [](const SpokenSegment& one) { return one.done; });
      if (of_text.empty() || !whole) continue;  // empty: handed over already
      deliver(segment.text, put_together(of_text));
      of_text.clear();
    }
  }
  progress.finish();
}

}  // namespace ttsft
