#include "recording.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "cut.h"
#include "sound.h"
#include "ttsft/audio/audio.h"
#include "ttsft/audio/guards.h"
#include "ttsft/core/error.h"
#include "ttsft/core/file_name.h"
#include "ttsft/judge/word_errors.h"

namespace ttsft {
namespace {

constexpr double kAnySame = -1;          // likeness of voices that nobody can tell apart
constexpr double kLeastSnr = 15;         // dB of speech above its background
constexpr double kMostTonal = 0.15;      // sound.h: speech is below 0.05, music above 0.25
constexpr double kMostClipped = 0.001;   // of the samples, as the guard of prep
constexpr double kCancelled = 0.1;       // of a channel's level that is left in the mix
constexpr double kPeak = 0.891;          // -1 dB
constexpr double kWindowDoubt = 0.15;    // less alike than clips: 1.6 s tell less of a voice
constexpr double kLeastAgreement = 0.5;  // of a transcript's letters with what is recognised

std::string percent(double share) {
  return std::to_string(static_cast<int>(std::lround(100 * share))) + " %";
}
std::string whole(double value) {
  return std::to_string(static_cast<int>(std::lround(value)));
}

// The recording as people will hear it, and as it is measured.
struct Sound {
  Audio own;                   // at its own rate
  std::vector<float> samples;  // at kCurateRate, loud enough to hear
  Levels levels{{}};
  std::vector<SpeechSpan> speech;
  double gain = 1;  // of the clips
  double seconds = 0;
};

void check_channels(const AudioFile& file, const std::string& name) {
  double power = 0;
  for (const float x : file.audio.samples) power += static_cast<double>(x) * x;
  const double mixed = std::sqrt(power / static_cast<double>(file.audio.samples.size()));
  const double most = *std::max_element(file.channel_rms.begin(), file.channel_rms.end());
  if (file.channels > 1 && mixed < kCancelled * most)
    throw DataError("its channels cancel each other out: one is the other upside down", name,
                    "turn one of them round, or give a mono file");
}

Sound listen(const SourceRecording& recording, SileroVad& vad) {
  AudioFile file = decode_audio(recording.file);
  check_channels(file, recording.file.string());
  Sound sound;
  sound.seconds = file.audio.seconds();
  sound.samples = file.audio.sample_rate == kCurateRate
                      ? file.audio.samples
                      : resample_soxr(file.audio.samples, file.audio.sample_rate, kCurateRate);
  sound.own = std::move(file.audio);
  const double loud = listening_gain(sound.samples);
  if (loud == 0) throw DataError("nothing is heard in it", recording.file.string(), "leave it out");
  for (float& x : sound.samples) x *= static_cast<float>(loud);
  sound.levels = Levels(sound.samples);
  sound.speech = speech_spans(vad->probabilities(sound.samples), sound.seconds);
  refine_edges(sound.speech, sound.levels, sound.seconds);
  sound.gain = loud * speech_gain(sound.levels, sound.speech);
  return sound;
}

std::vector<SpeechSpan> spans_of(const std::vector<Atom>& atoms) {
  std::vector<SpeechSpan> spans;
  for (const Atom& atom : atoms) spans.push_back({atom.begin, atom.end});
  return spans;
}

std::vector<VoiceVector> vectors_within(const std::vector<VoiceWindow>& windows, double begin,
                                        double end) {
  std::vector<VoiceVector> inside;
  for (const VoiceWindow& window : windows)  // in order
    if (window.begin >= begin && window.end <= end && !window.vector.empty())
      inside.push_back(window.vector);
  return inside;
}

template <typename T>
std::span<const T> part_of(const std::vector<T>& samples, double begin, double end, int rate) {
  const size_t size = samples.size();
  const auto at = [&](double t) {
    return std::min(static_cast<size_t>(std::llround(std::max(t, 0.0) * rate)), size);
  };
  return std::span(samples).subspan(at(begin), at(end) - at(begin));
}

// What speaks against the sound of a clip; the first that does.
void judge_sound(FoundClip& clip, const Sound& sound, const std::vector<VoiceWindow>& windows,
                 double same_voice) {
  const auto set = [&](const char* problem, std::string message) {
    clip.problem = problem;
    clip.message = std::move(message);
  };
  const auto own = part_of(sound.own.samples, clip.begin, clip.end, sound.own.sample_rate);
  const AudioStats stats = measure({{own.begin(), own.end()}, sound.own.sample_rate});
  if (stats.bad_values > 0) return set("damaged", "samples that are no numbers");
  if (stats.clipped_share > kMostClipped)
    return set("clipping", percent(stats.clipped_share) + " of the samples are clipped");
  const SpeechSpan speech{clip.speech_begin, clip.speech_end};
  const double tonal = tonal_share(part_of(sound.samples, clip.begin, clip.end, kCurateRate));
  if (tonal > kMostTonal)
    return set("music",
               "music, or a machine's tone: a pitch is held in " + percent(tonal) + " of it");
  const double level = sound.levels.mean(speech.begin, speech.end);
  const double snr = level - background_level(sound.levels, sound.speech, speech);
  if (snr < kLeastSnr)
    return set("noise", "speech is only " + whole(snr) + " dB above what else is heard");
  const std::vector<VoiceVector> voices = vectors_within(windows, speech.begin, speech.end);
  clip.voice = mean_voice(voices);
  double least = 2;
  for (size_t a = 0; a < voices.size(); ++a) {
    for (size_t b = a + 1; b < voices.size(); ++b) {
      const double like = likeness(voices[a], voices[b]);
      if (like >= least) continue;
      least = like;
      clip.unlike = {voices[a], voices[b]};
    }
  }
  if (least < same_voice - kWindowDoubt)
    return set("overlap", "more than one voice is heard in it");
}

FoundClip clip_of(const Cut& cut) {
  FoundClip clip;
  clip.begin = cut.begin;
  clip.end = cut.end;
  clip.speech_begin = cut.speech_begin;
  clip.speech_end = cut.speech_end;
  clip.text = cut.text;
  clip.speaker = cut.speaker;
  clip.problem = cut.problem;
  clip.message = cut.message;
  return clip;
}

// Texts of the clips, or what speaks against those they have.
void recognize(std::vector<FoundClip>& clips, const Sound& sound, bool has_transcript,
               Recognizer& recognizer, const CurateOptions& options) {
  std::vector<size_t> asked;
  std::vector<Audio> audio;
  for (size_t i = 0; i < clips.size(); ++i) {
    if (!clips[i].problem.empty()) continue;
    const auto part = part_of(sound.samples, clips[i].begin, clips[i].end, kCurateRate);
    asked.push_back(i);
    audio.push_back({{part.begin(), part.end()}, kCurateRate});
  }
  const std::vector<Recognized> heard = recognizer.transcribe(audio);
  for (size_t i = 0; i < asked.size(); ++i) {
    FoundClip& clip = clips[asked[i]];
    const auto set = [&](const char* problem, std::string message) {
      clip.problem = problem;
      clip.message = std::move(message);
    };
    if (has_transcript) {
      clip.confidence = std::max(0.0, 1 - character_error_rate(clip.text, heard[i].text));
      if (clip.confidence < kLeastAgreement)
        set("text_differs", "the transcript says '" + clip.text + "', the recogniser heard '" +
                                heard[i].text + "'");
      continue;
    }
    clip.text = heard[i].text;
    clip.confidence = heard[i].confidence;
    if (clip.text.empty()) {
      set("no_text", "the recogniser heard no words");
    } else if (heard[i].repetitive) {
      set("repetitive", "the recogniser went round in circles: '" + clip.text + "'");
    } else if (clip.confidence < options.min_confidence) {
      set("unsure", "the recogniser is not sure of '" + clip.text + "'");
    }
  }
}

void write_clip(const FoundClip& clip, const Sound& sound, const std::filesystem::path& wavs) {
  const auto part = part_of(sound.own.samples, clip.begin, clip.end, sound.own.sample_rate);
  double peak = 0;
  for (const float x : part) peak = std::max(peak, std::abs(static_cast<double>(x)));
  const auto gain = static_cast<float>(peak * sound.gain > kPeak ? kPeak / peak : sound.gain);
  std::vector<float> samples(part.begin(), part.end());
  for (float& x : samples) x *= gain;
  write_wav(wavs / (clip.id + ".wav"), samples, sound.own.sample_rate);
}

std::string base_id(const std::string& name) {
  std::string id = name;
  std::replace(id.begin(), id.end(), '/', '_');
  return file_name_of(id);
}

}  // namespace

bool is_worth_hearing(const std::string& problem) {
  static const std::array<const char*, 8> heard = {
      "stranger", "overlap", "noise", "music", "clipping", "unsure", "repetitive", "text_differs"};
  return problem.empty() || std::find(heard.begin(), heard.end(), problem) != heard.end();
}

RecordingState take_recording(const SourceRecording& recording,
                              const std::optional<Transcript>& transcript, CurateTools& tools,
                              const CurateOptions& options, const std::filesystem::path& wavs) {
  if (!transcript && !tools.recognizer)
    throw DataError("no transcript of it", recording.file.string(), "add one to --transcripts");
  const Sound sound = listen(recording, tools.vad);
  RecordingState state;
  state.seconds = sound.seconds;
  state.texts_from = transcript ? transcript->format : tools.recognizer->name();

  std::vector<Atom> atoms =
      transcript ? atoms_of(sound.speech, transcript->cues) : atoms_of(sound.speech);
  std::erase_if(atoms, [&](const Atom& atom) {  // a text without a sound is in nobody's way
    if (atom.problem != "no_speech") return false;
    FoundClip silent;
    silent.begin = silent.speech_begin = atom.begin;
    silent.end = silent.speech_end = atom.end;
    silent.text = atom.text;
    silent.problem = atom.problem;
    silent.message = atom.message;
    state.clips.push_back(std::move(silent));
    return true;
  });
  std::vector<VoiceWindow> windows;
  double same_voice = kAnySame;
  if (tools.speaker) {
    windows = voice_windows(*tools.speaker, sound.samples, spans_of(atoms));
    same_voice = tools.speaker->same_speaker();
    for (Atom& atom : atoms) atom.voice = mean_voice(vectors_within(windows, atom.begin, atom.end));
  }
  const CutOptions cutting{options.min_seconds, options.max_seconds, options.pause, options.margin};
  std::vector<FoundClip> clips;
  for (const Cut& cut : plan_cuts(atoms, sound.seconds, cutting, same_voice - kWindowDoubt)) {
    clips.push_back(clip_of(cut));
    if (clips.back().problem.empty()) judge_sound(clips.back(), sound, windows, same_voice);
  }
  if (tools.recognizer) recognize(clips, sound, transcript.has_value(), *tools.recognizer, options);

  int number = 0;
  for (FoundClip& clip : clips) {
    if (is_worth_hearing(clip.problem)) {
      std::array<char, 16> text{};
      std::snprintf(text.data(), text.size(), "_%04d", ++number);
      clip.id = base_id(recording.name) + text.data();
      write_clip(clip, sound, wavs);
      clip.has_audio = true;
    }
    state.clips.push_back(std::move(clip));
  }
  std::stable_sort(state.clips.begin(), state.clips.end(),
                   [](const FoundClip& a, const FoundClip& b) { return a.begin < b.begin; });
  return state;
}

}  // namespace ttsft
