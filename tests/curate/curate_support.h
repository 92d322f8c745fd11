// A long recording made of the bundled sentences, with another voice between, and where each lies.
#pragma once

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "ttsft/audio/audio.h"

namespace ttsft {

struct SpokenPart {
  std::string id, text;
  double begin = 0, end = 0;                // of the file in the recording
  double speech_begin = 0, speech_end = 0;  // of what is heard in it
};

struct MadeRecording {
  std::vector<float> samples;  // 16 kHz
  std::vector<SpokenPart> parts;
};

inline const std::vector<std::pair<std::string, std::string>>& sentences() {
  static const std::vector<std::pair<std::string, std::string>> all = {
      {"austen-0870",
       "And Mr. John Dashwood had then leisure to consider how much there might be prudently in "
       "his power to do for them."},
      {"austen-0880", "He was not an ill-disposed young man,"},
      {"austen-0890", "unless to be rather cold hearted and rather selfish is to be ill-disposed:"},
      {"austen-0920",
       "Had he married a more amiable woman, he might have been made still more respectable than "
       "he was:"},
      {"austen-0930", "he might even have been made amiable himself;"}};
  return all;
}

inline std::vector<float> austen(const std::string& id) {
  return decode_audio(std::string(TTSFT_FIXTURES "/austen/wavs/") + id + ".wav").audio.samples;
}
inline std::vector<float> other_voice() {
  std::vector<float> samples = decode_audio(TTSFT_FIXTURES "/espeak/please_hold.wav").audio.samples;
  for (float& x : samples) x *= 0.5f;
  return samples;
}

// From the first to the last two frames of 10 ms that are at most 35 dB softer than the speech.
inline std::pair<double, double> heard_in(const std::vector<float>& samples) {
  std::vector<double> levels;
  double speech = 0;
  int64_t loud = 0;
  for (size_t i = 0; i + 160 <= samples.size(); i += 160) {
    double power = 0;
    for (size_t k = i; k < i + 160; ++k) power += static_cast<double>(samples[k]) * samples[k];
    levels.push_back(10 * std::log10(power / 160 + 1e-12));
    if (levels.back() <= -45) continue;
    speech += power / 160;
    ++loud;
  }
  const double least = 10 * std::log10(speech / static_cast<double>(loud)) - 35;
  size_t first = 0, last = levels.size();
  while (!(levels[first] > least && levels[first + 1] > least)) ++first;
  while (!(levels[last - 1] > least && levels[last - 2] > least)) --last;
  return {static_cast<double>(first) / 100, static_cast<double>(last) / 100};
}

// Silence of `pause` seconds before, between and behind; the other voice after every second
// sentence.
inline MadeRecording make_recording(double pause = 0.8, bool with_other = true) {
  MadeRecording made;
  const auto silence = [&] {
    made.samples.resize(made.samples.size() + static_cast<size_t>(pause * 16000), 0.0f);
  };
  const auto append = [&](const std::string& id, const std::string& text,
                          const std::vector<float>& samples) {
    SpokenPart part;
    part.id = id;
    part.text = text;
    part.begin = static_cast<double>(made.samples.size()) / 16000;
    made.samples.insert(made.samples.end(), samples.begin(), samples.end());
    part.end = static_cast<double>(made.samples.size()) / 16000;
    const auto [first, last] = heard_in(samples);
    part.speech_begin = part.begin + first;
    part.speech_end = part.begin + last;
    made.parts.push_back(part);
    silence();
  };
  silence();
  int count = 0;
  for (const auto& [id, text] : sentences()) {
    append(id, text, austen(id));
    if (with_other && ++count % 2 == 0) append("other", "", other_voice());
  }
  std::mt19937 random(1);
  std::normal_distribution<float> noise(0, 1e-4f);
  for (float& x : made.samples) x += noise(random);
  return made;
}

}  // namespace ttsft
