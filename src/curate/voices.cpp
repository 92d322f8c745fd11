#include "voices.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "sound.h"

namespace ttsft {
namespace {

constexpr double kWindow = 1.6, kHop = 0.8;  // seconds
constexpr size_t kBatch = 256;               // windows at once: 26 MB of samples
constexpr int kRounds = 4;

VoiceVector centre_of(const std::vector<VoiceClip>& clips, const std::vector<size_t>& members) {
  std::vector<VoiceVector> vectors;
  std::vector<double> weights;
  for (const size_t clip : members) {
    vectors.push_back(clips[clip].vector);
    weights.push_back(clips[clip].seconds);
  }
  return mean_voice(vectors, weights);
}

// The group that the vector is most like, if that is enough.
size_t nearest_group(const std::vector<VoiceGroup>& groups, const VoiceVector& vector,
                     double same) {
  size_t nearest = groups.size();
  double most = same;
  for (size_t g = 0; g < groups.size(); ++g) {
    const double like = likeness(groups[g].centre, vector);
    if (like >= most) {
      most = like;
      nearest = g;
    }
  }
  return nearest;
}

// The two found groups that are most alike, or a given and a found one, as one.
bool merge_nearest(std::vector<VoiceGroup>& groups, double same) {
  size_t left = 0, right = 0;
  double most = same;
  for (size_t a = 0; a < groups.size(); ++a) {
    for (size_t b = a + 1; b < groups.size(); ++b) {
      if (!groups[b].name.empty()) continue;  // given ones stand first: both are
      const double like = likeness(groups[a].centre, groups[b].centre);
      if (like >= most) {
        most = like;
        left = a;
        right = b;
      }
    }
  }
  if (right == 0) return false;
  VoiceGroup& kept = groups[left];
  const VoiceGroup& gone = groups[right];
  if (kept.name.empty())
    kept.centre = mean_voice({kept.centre, gone.centre}, {kept.seconds, gone.seconds});
  kept.seconds += gone.seconds;
  groups.erase(groups.begin() + static_cast<std::ptrdiff_t>(right));
  return true;
}

}  // namespace

double likeness(const VoiceVector& a, const VoiceVector& b) {
  if (a.size() != b.size()) return 0;
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

VoiceVector mean_voice(const std::vector<VoiceVector>& vectors,
                       const std::vector<double>& weights) {
  std::vector<double> sum;
  for (size_t i = 0; i < vectors.size(); ++i) {
    if (vectors[i].empty()) continue;
    sum.resize(vectors[i].size(), 0.0);
    for (size_t d = 0; d < sum.size(); ++d)
      sum[d] += (weights.empty() ? 1.0 : weights[i]) * vectors[i][d];
  }
  const double norm = std::sqrt(std::inner_product(sum.begin(), sum.end(), sum.begin(), 0.0));
  VoiceVector mean;
  if (norm > 0)
    for (const double value : sum) mean.push_back(static_cast<float>(value / norm));
  return mean;
}

std::vector<VoiceGroup> group_voices(const std::vector<VoiceClip>& clips,
                                     std::vector<VoiceGroup> given, double same) {
  // Seeds: longer clips tell more of a voice.
  std::vector<size_t> order(clips.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return clips[a].seconds > clips[b].seconds; });
  std::vector<VoiceGroup> groups = std::move(given);
  const size_t named = groups.size();
  for (const size_t clip : order) {
    const VoiceVector& vector = clips[clip].vector;
    if (vector.empty()) continue;
    const size_t nearest = nearest_group(groups, vector, same);
    if (nearest == groups.size()) groups.push_back({"", vector, {}, 0});
    groups[nearest].seconds += clips[clip].seconds;
  }
  while (merge_nearest(groups, same)) {
  }
  for (int round = 0; round < kRounds; ++round) {
    for (VoiceGroup& group : groups) {
      group.clips.clear();
      group.seconds = 0;
    }
    for (size_t clip = 0; clip < clips.size(); ++clip) {
      if (clips[clip].vector.empty()) continue;
      size_t nearest = nearest_group(groups, clips[clip].vector, same);
      if (nearest == groups.size()) groups.push_back({"", clips[clip].vector, {}, 0});
      groups[nearest].clips.push_back(clip);
      groups[nearest].seconds += clips[clip].seconds;
    }
    std::erase_if(groups, [](const VoiceGroup& g) { return g.name.empty() && g.clips.empty(); });
    for (VoiceGroup& group : groups)
      if (group.name.empty()) group.centre = centre_of(clips, group.clips);
  }
  std::stable_sort(groups.begin() + static_cast<std::ptrdiff_t>(named), groups.end(),
                   [](const VoiceGroup& a, const VoiceGroup& b) { return a.seconds > b.seconds; });
  return groups;
}

std::vector<VoiceWindow> voice_windows(SpeakerEncoder& encoder, std::span<const float> samples,
                                       const std::vector<SpeechSpan>& speech) {
  std::vector<VoiceWindow> windows;
  for (const SpeechSpan& span : speech) {
    if (span.seconds() < kHop) continue;
    for (double begin = span.begin;; begin += kHop) {
      const bool last = begin + kWindow >= span.end;
      const double from = last ? std::max(span.begin, span.end - kWindow) : begin;
      windows.push_back({from, std::min(from + kWindow, span.end), {}});
      if (last) break;
    }
  }
  for (size_t first = 0; first < windows.size(); first += kBatch) {
    const size_t last = std::min(first + kBatch, windows.size());
    std::vector<Audio> batch;
    for (size_t i = first; i < last; ++i) {
      const auto from = static_cast<size_t>(windows[i].begin * kCurateRate);
      const auto to = std::min(static_cast<size_t>(windows[i].end * kCurateRate), samples.size());
      const auto part = samples.subspan(from, to - from);
      batch.push_back({{part.begin(), part.end()}, kCurateRate});
    }
    std::vector<VoiceVector> vectors = encoder.embed(batch);
    for (size_t i = first; i < last; ++i) windows[i].vector = std::move(vectors[i - first]);
  }
  return windows;
}

}  // namespace ttsft
