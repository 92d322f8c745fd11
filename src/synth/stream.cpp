// One text, heard while it is made.
#include <algorithm>

#include "segments.h"
#include "speaker.h"
#include "ttsft/core/error.h"
#include "ttsft/core/log.h"
#include "ttsft/core/progress.h"
#include "ttsft/core/signals.h"
#include "ttsft/nn/precision.h"

namespace ttsft {
namespace {

constexpr int64_t kMostFrames = 16;  // of a piece; the first ones are shorter, to be heard soon

class Streamer {
 public:
  Streamer(Synthesizer& synthesizer, const SpeakOptions& options, const Noise& noise,
           const std::string& label, const std::function<void(const Audio&)>& deliver)
      : synthesizer_(synthesizer),
        options_(options),
        noise_(noise),
        draws_(synthesizer.recorded(noise)),
        label_(label),
        deliver_(deliver),
        plan_(synthesizer.plan(options.decode)),
        decoder_(synthesizer.language_model(), plan_, synthesizer.tensor_options(),
                 draws_.empty() ? nullptr : &draws_) {
    if (plan_.beams > 1)
      throw UsageError("beams decide at the end what was said, so nothing can be streamed",
                       "--stream", "set synth.beams: 1");
  }

  void speak(const Segment& segment, SpokenText& spoken) {
    const uint64_t seed = segment_seed(options_.seed, segment.index);
    const RowPrompt prompt = synthesizer_.prompt(segment.words, seed, spoken_);
    const SpokenSegment known{segment.words, torch::empty({0}, torch::kInt64), seed};
    if (!stream_) open(synthesizer_.acoustic_rows(std::span(&known, 1)).front());
    decoder_.admit(std::span(&prompt, 1));
    int64_t pushed = 0, piece = 1, steps = 0;
    bool ended = false;
    while (!ended) {
      if (stop_signal()) throw Stopped{stop_signal()};
      decoder_.step();
      progress_.advance();
      if (++steps < piece) continue;
      steps = 0;
      piece = std::min(2 * piece, kMostFrames);
      ended = decoder_.ended().item<bool>();
      const torch::Tensor heard = synthesizer_.heard(decoder_.so_far(0, 0));
      const int64_t fresh = heard.size(0) - pushed;
      if (fresh == 0) continue;
      hand_over(fast([&] { return stream_->push(heard.narrow(0, pushed, fresh)); }), spoken);
      pushed += fresh;
    }
    DecodedRow whole = decoder_.take({0}).front();
    whole.codes = synthesizer_.heard(whole.codes);
    if (!synthesizer_.speaking().whole_text) flush(spoken);
    check_segment(whole, label_, decoder_.max_frames(), options_.decode.max_frames);
    spoken.reached_limit = spoken.reached_limit || whole.reached_limit;
    spoken.frames += whole.codes.size(0);
    spoken_.push_back({segment.words, whole.codes, seed});
  }

  void pause(SpokenText& spoken) {
    if (synthesizer_.speaking().whole_text) return;
    const auto samples = static_cast<int64_t>(synthesizer_.speaking().pause_seconds *
                                              synthesizer_.acoustic().sample_rate());
    hand_over(torch::zeros({samples}), spoken);
  }

  // What the acoustic part holds back of the codes so far.
  void flush(SpokenText& spoken) {
    if (!stream_) return;
    hand_over(fast([&] { return stream_->flush(); }), spoken);
    stream_.reset();
  }

  torch::Tensor codes() const {
    std::vector<torch::Tensor> parts;
    for (const SpokenSegment& segment : spoken_) parts.push_back(segment.codes);
    return torch::cat(parts);
  }

 private:
  void open(AcousticRow row) {
    if (!noise_.empty()) row.noise = &noise_;
    stream_ = synthesizer_.acoustic().stream(row);
    if (!stream_)
      throw UsageError("this model's acoustic part needs all codes at once", "--stream",
                       "leave it out");
  }

  template <typename Decode>
  torch::Tensor fast(const Decode& decode) const {
    const PrecisionScope speed(
        speaking_precision(synthesizer_.tensor_options().dtype().toScalarType()));
    return decode();
  }

  void hand_over(const torch::Tensor& wave, SpokenText& spoken) {
    if (wave.numel() == 0) return;
    const Audio audio = to_audio(wave, synthesizer_.acoustic().sample_rate());
    check_wave(audio, label_);
    deliver_(audio);
    std::vector<float>& samples = spoken.audio.samples;
    samples.insert(samples.end(), audio.samples.begin(), audio.samples.end());
  }

  Synthesizer& synthesizer_;
  const SpeakOptions& options_;
  const Noise& noise_;
  RecordedDraws draws_;
  const std::string& label_;
  const std::function<void(const Audio&)>& deliver_;
  DecodingPlan plan_;
  FrameDecoder decoder_;
  std::unique_ptr<AcousticStream> stream_;  // of a segment, or of the whole text
  std::vector<SpokenSegment> spoken_;       // the segments before
  Progress progress_{"synth", 0, "frames"};
};

}  // namespace

SpokenText speak_stream(Synthesizer& synthesizer, const TextToSpeak& text,
                        const SpeakOptions& options, const Noise& noise,
                        const std::function<void(const Audio&)>& deliver) {
  torch::InferenceMode guard;
  const std::vector<std::string> pieces = synthesizer.segments(text.words);
  if (pieces.empty()) throw DataError("there is nothing to speak", text.label);
  check_noise(noise, std::ssize(pieces));
  Streamer streamer(synthesizer, options, noise, text.label, deliver);
  SpokenText spoken;
  spoken.segments = std::ssize(pieces);
  spoken.audio.sample_rate = synthesizer.acoustic().sample_rate();
  for (size_t i = 0; i < pieces.size(); ++i) {
    if (i > 0 && spoken.frames > 0) streamer.pause(spoken);
    streamer.speak({0, i, pieces[i]}, spoken);
  }
  streamer.flush(spoken);
  if (spoken.frames > 0) spoken.codes = streamer.codes();
  return spoken;
}

}  // namespace ttsft
