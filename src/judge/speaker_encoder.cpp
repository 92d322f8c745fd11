#include "ttsft/judge/speaker_encoder.h"

#include <algorithm>
#include <cmath>

#include "ttsft/core/error.h"
#include "ttsft/core/hash.h"
#include "ttsft/io/torch_file.h"
#include "ttsft/judge/voice_encoder.h"
#include "ttsft/nn/device.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;

// Resemblyzer 0.1.4, hparams.py and voice_encoder.py.
constexpr int64_t kHop = 160, kFrames = 160, kStep = 77;  // samples, frames, frames
constexpr double kLeastShare = 0.75;                      // of the last window
constexpr double kLevel = -30;                            // dB; a softer clip is raised to it
constexpr double kLeastSeconds = 0.5;
// The bundled reader's sentences are at 0.73 and above to each other, another voice at 0.57 and
// below.
constexpr double kSameSpeaker = 0.7;

// Resemblyzer's names to Chatterbox's, whose lineage is the same.
std::shared_ptr<const TensorFile> open_weights(const fs::path& file) {
  const auto found = open_tensor_file(file);
  const std::string prefix = "model_state.";
  if (!found->find(prefix + "linear.weight")) return found;
  auto renamed = std::make_shared<DerivedTensors>(found);
  for (const TensorView& view : found->tensors()) {
    if (!view.name.starts_with(prefix)) continue;
    TensorView own = view;
    own.name = view.name.substr(prefix.size());
    if (own.name.starts_with("linear.")) own.name = "proj." + own.name.substr(7);
    renamed->keep(own);
  }
  renamed->finish();
  return renamed;
}

std::vector<float> raised(std::vector<float> samples) {
  double power = 0;
  for (const float x : samples) power += static_cast<double>(x) * x;
  power /= static_cast<double>(samples.size());
  const double change = kLevel - 10 * std::log10(std::max(power, 1e-20));
  if (change <= 0) return samples;
  const auto gain = static_cast<float>(std::pow(10.0, change / 20));
  for (float& x : samples) x *= gain;
  return samples;
}

// How many windows a clip has: the last one must be real for three quarters.
int64_t windows_of(int64_t samples) {
  const int64_t frames = (samples + kHop) / kHop;
  int64_t windows = (std::max<int64_t>(1, frames - kFrames + kStep + 1) + kStep - 1) / kStep;
  const int64_t start = (windows - 1) * kStep * kHop;
  const double share = static_cast<double>(samples - start) / (kFrames * kHop);
  return windows > 1 && share < kLeastShare ? windows - 1 : windows;
}

class Ge2eEncoder : public SpeakerEncoder {
 public:
  Ge2eEncoder(const fs::path& file, const std::string& device)
      : device_(resolve_device(device)),
        encoder_(load_voice_encoder(open_weights(file), device_)),
        mel_(voice_mel_options()),
        name_("GE2E " + hash_file(file)) {}

  std::string name() const override { return name_; }
  double same_speaker() const override { return kSameSpeaker; }

  std::vector<std::vector<float>> embed(const std::vector<Audio>& clips) override {
    c10::InferenceMode guard;
    std::vector<torch::Tensor> windows;
    std::vector<int64_t> counts;
    for (const Audio& clip : clips) {
      counts.push_back(0);
      if (clip.seconds() < kLeastSeconds) continue;
      windows.push_back(windows_of_clip(raised(at_rate(clip, kVoiceRate))));
      counts.back() = windows.back().size(0);
    }
    std::vector<std::vector<float>> vectors(clips.size());
    if (windows.empty()) return vectors;
    const torch::Tensor all = encoder_->forward(torch::cat(windows)).cpu();  // [P, E]
    int64_t first = 0;
    for (size_t i = 0; i < clips.size(); ++i) {
      if (counts[i] == 0) continue;
      const torch::Tensor mean = all.slice(0, first, first + counts[i]).mean(0);
      first += counts[i];
      const torch::Tensor unit = (mean / mean.norm()).contiguous();
      if (!unit.isfinite().all().item<bool>()) continue;  // silence
      vectors[i].assign(unit.data_ptr<float>(), unit.data_ptr<float>() + unit.numel());
    }
    return vectors;
  }

 private:
  torch::Tensor windows_of_clip(std::vector<float> samples) {
    const int64_t count = windows_of(std::ssize(samples));
    const int64_t needed = ((count - 1) * kStep + kFrames) * kHop;
    samples.resize(static_cast<size_t>(std::max<int64_t>(needed, std::ssize(samples))), 0.0f);
    const torch::Tensor mel =
        mel_(torch::from_blob(samples.data(), {std::ssize(samples)}));  // [T, mels]
    return mel.unfold(0, kFrames, kStep).slice(0, 0, count).transpose(1, 2);
  }

  torch::Device device_;
  VoiceEncoder encoder_;
  MelExtractor mel_;
  std::string name_;
};

}  // namespace

std::unique_ptr<SpeakerEncoder> open_speaker_encoder(const fs::path& file,
                                                     const std::string& device) {
  return std::make_unique<Ge2eEncoder>(file, device);
}

}  // namespace ttsft
