#include "speaker.h"

#include <algorithm>
#include <cmath>

#include "segments.h"
#include "ttsft/core/error.h"
#include "ttsft/core/log.h"
#include "ttsft/core/progress.h"
#include "ttsft/core/signals.h"
#include "ttsft/nn/device_memory.h"
#include "ttsft/nn/precision.h"
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

Audio to_audio(const torch::Tensor& wave, int sample_rate) {
  const torch::Tensor samples = wave.to(torch::kCPU, torch::kFloat32).contiguous();
  Audio audio{{}, sample_rate};
  audio.samples.assign(samples.data_ptr<float>(), samples.data_ptr<float>() + samples.numel());
  return audio;
}

void check_segment(const DecodedRow& row, const std::string& where, int64_t limit, int64_t asked) {
  if (row.codes.size(0) == 0) log_warning(where, ": the model ended at once");
  if (!row.reached_limit) return;
  log_warning(where, ": stopped at ", limit, " frames, so the end may be missing; ",
              limit < asked ? "the model has no more places: cut the text"
                            : "raise --max-frames, or cut the text");
}

uint64_t segment_seed(uint64_t seed, size_t index) {
  return derive_seed(seed, "segment " + std::to_string(index));
}

void check_noise(const Noise& noise, int64_t segments) {
  if (noise.empty() || segments == 1) return;
  throw UsageError(
      "--noise was recorded for one segment, and the text is cut into " + std::to_string(segments),
      "", "give a shorter text");
}

namespace {

constexpr int64_t kStepsPerLookOnGpu = 8;  // a few steps too many cost less than a wait each

std::vector<int64_t> indices(const torch::Tensor& flags) {
  const torch::Tensor on_host = flags.to(torch::kCPU);
  std::vector<int64_t> found;
  for (int64_t i = 0; i < on_host.size(0); ++i)
    if (on_host[i].item<bool>()) found.push_back(i);
  return found;
}

// Everything on its way from texts to waves.
class Speaker {
 public:
  Speaker(Synthesizer& synthesizer, const std::vector<TextToSpeak>& texts,
          const SpeakOptions& options, const Noise& noise,
          const std::function<void(size_t, const SpokenText&)>& deliver)
      : synthesizer_(synthesizer),
        options_(options),
        noise_(noise),
        draws_(synthesizer.recorded(noise)),
        deliver_(deliver),
        speaking_(synthesizer.speaking()),
        queue_(synthesizer, texts),
        results_(texts.size()),
        width_(static_cast<size_t>(
            std::max<int64_t>(1, options.batch > 0 ? options.batch : synthesizer.max_batch()))),
        acoustic_batches_(synthesizer.tensor_options().device(),
                          [](int64_t rows) { return std::to_string(rows) + " waves at once"; }) {
    check_noise(noise, queue_.total());
    for (size_t t = 0; t < texts.size(); ++t)
      results_[t].resize(static_cast<size_t>(queue_.segments_of(t)));
  }

  void run() {
    while (!queue_.empty() || !running_.empty()) {
      bool fits = true;
      try {
        generate();
      } catch (const std::exception& error) {
        if (width_ == 1 || !is_out_of_memory(error)) throw;
        fits = false;
      }
      // Behind the catch block, so that what the exception held is free too.
      if (!fits) go_on_with_half();
    }
    decode_waiting();
    progress_.finish();
  }

 private:
  void go_on_with_half() {
    decoder_.reset();
    queue_.put_back(running_);
    running_.clear();
    width_ /= 2;
    release_cached_memory(synthesizer_.tensor_options().device());
    log_warning("out of memory: going on with ", width_,
                " rows at once; synth.batch sets that from the start");
  }

  void generate() {
    if (!decoder_)
      decoder_.emplace(synthesizer_.language_model(), synthesizer_.plan(options_.decode),
                       synthesizer_.tensor_options(), draws_.empty() ? nullptr : &draws_);
    const int64_t look_every = options_.on_gpu ? kStepsPerLookOnGpu : 1;
    for (int64_t step = 0; !queue_.empty() || !running_.empty();) {
      admit();
      if (stop_signal()) throw Stopped{stop_signal()};
      decoder_->step();
      progress_.advance();
      if (++step % look_every == 0) collect();
    }
  }

  void admit() {
    std::vector<RowPrompt> prompts;
    while (running_.size() < width_ && !queue_.empty()) {
      running_.push_back(queue_.next());
      const Segment& segment = running_.back();
      std::vector<SpokenSegment> earlier;
      if (speaking_.chained)
        for (size_t i = 0; i < segment.index; ++i)
          earlier.push_back({queue_.words(segment.text, i), results_[segment.text][i].codes,
                             segment_seed(options_.seed, i)});
      prompts.push_back(
          synthesizer_.prompt(segment.words, segment_seed(options_.seed, segment.index), earlier));
    }
    decoder_->admit(prompts);
  }

  // Takes out what has ended, and decodes when enough is waiting or nothing else is to be done.
  void collect() {
    const std::vector<int64_t> ended = indices(decoder_->ended());
    if (ended.empty()) return;
    const std::vector<DecodedRow> rows = decoder_->take(ended);
    for (size_t i = 0; i < ended.size(); ++i) {
      const Segment segment = running_[static_cast<size_t>(ended[i])];
      check_segment(rows[i], queue_.place(segment), decoder_->max_frames(),
                    options_.decode.max_frames);
      SegmentResult& result = results_[segment.text][segment.index];
      result.codes = synthesizer_.heard(rows[i].codes);
      result.reached_limit = rows[i].reached_limit;
      result.spoken = true;
      queue_.spoken(segment);
      waiting_.push_back(segment);
    }
    for (auto row = ended.rbegin(); row != ended.rend(); ++row)
      running_.erase(running_.begin() + *row);
    if (waiting_.size() >= width_) decode_waiting();
  }

  void decode_waiting() {
    const std::vector<Segment> segments = std::move(waiting_);
    waiting_.clear();
    if (!speaking_.whole_text) decode(segments);
    for (const Segment& segment : segments) finish(segment.text);
  }

  void decode(const std::vector<Segment>& segments) {
    std::vector<SpokenSegment> spoken;
    for (const Segment& segment : segments)
      spoken.push_back({segment.words, results_[segment.text][segment.index].codes,
                        segment_seed(options_.seed, segment.index)});
    const std::vector<torch::Tensor> waves = acoustic(synthesizer_.acoustic_rows(spoken));
    for (size_t i = 0; i < segments.size(); ++i) {
      SegmentResult& result = results_[segments[i].text][segments[i].index];
      result.audio = to_audio(waves[i], synthesizer_.acoustic().sample_rate());
      result.decoded = true;
      check_wave(result.audio, queue_.place(segments[i]));
    }
  }

  std::vector<torch::Tensor> acoustic(std::vector<AcousticRow> rows) {
    for (AcousticRow& row : rows)
      if (!noise_.empty()) row.noise = &noise_;
    const PrecisionScope speed(
        speaking_precision(synthesizer_.tensor_options().dtype().toScalarType()));
    std::vector<torch::Tensor> waves;
    acoustic_batches_.run<AcousticRow>(
        rows, [](std::span<const AcousticRow> piece) { return std::ssize(piece); },
        [&](std::span<AcousticRow> piece) {
          for (torch::Tensor& wave : synthesizer_.acoustic().decode(piece))
            waves.push_back(std::move(wave));
        });
    return waves;
  }

  void finish(size_t text) {
    std::vector<SegmentResult>& segments = results_[text];
    if (segments.empty()) return;  // handed over already
    for (const SegmentResult& segment : segments)
      if (!(speaking_.whole_text ? segment.spoken : segment.decoded)) return;
    deliver_(text, put_together(text));
    segments.clear();
  }

  SpokenText put_together(size_t number) {
    SpokenText text;
    text.segments = std::ssize(results_[number]);
    text.audio.sample_rate = synthesizer_.acoustic().sample_rate();
    std::vector<torch::Tensor> codes;
    for (const SegmentResult& segment : results_[number]) {
      text.reached_limit = text.reached_limit || segment.reached_limit;
      if (segment.codes.size(0) == 0) continue;
      codes.push_back(segment.codes);
      text.frames += segment.codes.size(0);
      std::vector<float>& samples = text.audio.samples;
      if (!samples.empty())
        samples.resize(samples.size() +
                       static_cast<size_t>(speaking_.pause_seconds * text.audio.sample_rate));
      samples.insert(samples.end(), segment.audio.samples.begin(), segment.audio.samples.end());
    }
    if (codes.empty()) return text;
    text.codes = torch::cat(codes);
    if (speaking_.whole_text) {
      const SpokenSegment whole{"", text.codes, segment_seed(options_.seed, 0)};
      const auto waves = acoustic(synthesizer_.acoustic_rows(std::span(&whole, 1)));
      text.audio = to_audio(waves.at(0), text.audio.sample_rate);
      check_wave(text.audio, queue_.place({number, 0, ""}));
    }
    return text;
  }

  Synthesizer& synthesizer_;
  const SpeakOptions& options_;
  const Noise& noise_;
  RecordedDraws draws_;  // of the language model, those of noise_
  const std::function<void(size_t, const SpokenText&)>& deliver_;
  Speaking speaking_;
  SegmentQueue queue_;
  std::vector<std::vector<SegmentResult>> results_;  // by text; empty once it is handed over
  size_t width_;
  FittingBatches acoustic_batches_;
  std::optional<FrameDecoder> decoder_;
  std::vector<Segment> running_;  // by row of the decoder
  std::vector<Segment> waiting_;  // spoken, not decoded
  Progress progress_{"synth", 0, "frames"};
};

}  // namespace

void speak(Synthesizer& synthesizer, const std::vector<TextToSpeak>& texts,
           const SpeakOptions& options, const Noise& noise,
           const std::function<void(size_t, const SpokenText&)>& deliver) {
  torch::InferenceMode guard;
  Speaker(synthesizer, texts, options, noise, deliver).run();
}

}  // namespace ttsft
