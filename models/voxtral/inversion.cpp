#include "models/voxtral/inversion.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "models/voxtral/errors.h"
#include "ttsft/core/log.h"
#include "ttsft/nn/length_batches.h"

namespace ttsft::voxtral {
namespace {

constexpr double kWaveWeight = 10, kCommitment = 0.1;
constexpr double kFirstRate = 0.05, kCodedRate = 0.01, kLastRate = 0.001;  // of Adam
constexpr int64_t kSayEvery = 100;     // steps between two lines of the log
constexpr int64_t kBatchFrames = 600;  // that are found at once

struct Window {
  size_t clip;
  int64_t from, before, frames;  // its first frame, frames that are only heard, and its own
};

std::vector<Window> cut_windows(const std::vector<int64_t>& frames, const CodecConfig& codec,
                                const InversionOptions& options) {
  const auto longest = static_cast<int64_t>(options.window_seconds * codec.frame_rate());
  std::vector<Window> windows;
  for (size_t clip = 0; clip < frames.size(); ++clip) {
    for (int64_t from = 0; from < frames[clip]; from += longest)
      windows.push_back(
          {clip, from, std::min(from, options.overlap), std::min(longest, frames[clip] - from)});
  }
  return windows;
}

// The wave of a window, its earlier frames in front, zeros behind the clip. Nothing stands before
// the clip: so are its codes decoded, and with silence there the first frames would come out wrong.
torch::Tensor wave_of(const torch::Tensor& clip, const Window& window, int64_t hop) {
  const int64_t begin = (window.from - window.before) * hop;
  const torch::Tensor wave = clip.slice(0, begin, (window.from + window.frames) * hop);
  return torch::constant_pad_nd(wave, {0, (window.before + window.frames) * hop - wave.size(0)});
}

// What is searched: vectors of the semantic code, and what tanh makes acoustic values of.
struct Latent {
  torch::Tensor semantic;  // [B, T, 256]
  torch::Tensor acoustic;  // [B, T, 36]

  torch::Tensor codes(const Codec& codec) const {  // [B, T, 37]
    const torch::NoGradGuard no_grad;
    return torch::cat({codec.quantizer->nearest(semantic.flatten(0, 1))
                           .view({semantic.size(0), semantic.size(1), 1}),
                       codes_at(torch::tanh(acoustic), codec.config().levels)},
                      2);
  }
};

Latent start(Codec& codec, const torch::Tensor& waves, const std::vector<int64_t>& samples) {
  const CodecConfig& c = codec.config();
  const int64_t frames = waves.size(1) / c.hop();
  Latent latent;
  if (codec.encodes()) {
    const torch::NoGradGuard no_grad;
    const torch::Tensor found = codec.encoder(waves, samples).transpose(1, 2);
    latent.semantic = found.narrow(2, 0, c.semantic_dim).contiguous();
    latent.acoustic = found.narrow(2, c.semantic_dim, c.acoustic_dim).contiguous();
  } else {
    latent.semantic = torch::zeros({waves.size(0), frames, c.semantic_dim}, waves.options());
    latent.acoustic = torch::zeros({waves.size(0), frames, c.acoustic_dim}, waves.options());
  }
  latent.semantic.requires_grad_(true);
  latent.acoustic.requires_grad_(true);
  return latent;
}

class Search {
 public:
  Search(Codec& codec, torch::Tensor waves, std::vector<int64_t> samples)
      : codec_(codec),
        waves_(std::move(waves)),
        samples_(std::move(samples)),
        latent_(start(codec, waves_, samples_)),
        spectra_(waves_, samples_) {
    for (const int64_t n : samples_) frames_.push_back(codec_.config().frames(n));
  }

  void run(int64_t steps) {
    const int64_t coded = steps / 3, free = steps - coded;
    torch::optim::Adam adam({latent_.semantic, latent_.acoustic}, kFirstRate);
    steps_ = steps;
    for (int64_t step = 0; step < free; ++step) {
      set_rate(adam, kFirstRate, kCodedRate, step, free);
      descend(adam, /*coded=*/false, step < free / 2 ? 0 : kCommitment);
    }
    for (int64_t step = 0; step < coded; ++step) {
      set_rate(adam, kCodedRate, kLastRate, step, coded);
      descend(adam, /*coded=*/true, kCommitment);
    }
  }

  torch::Tensor codes() const { return latent_.codes(codec_); }

 private:
  // Steps as wide as at first would pass over the value that they look for.
  static void set_rate(torch::optim::Adam& adam, double from, double to, int64_t step,
                       int64_t steps) {
    const double done = static_cast<double>(step) / static_cast<double>(steps);
    const double rate = to + (from - to) * 0.5 * (1 + std::cos(std::numbers::pi * done));
    for (auto& group : adam.param_groups()) group.options().set_lr(rate);
  }

  // Rows have nothing in common but the step: the loss is their sum, and Adam looks at each number
  // alone.
  void descend(torch::optim::Adam& adam, bool coded, double commitment) {
    const CodecConfig& c = codec_.config();
    torch::Tensor semantic = latent_.semantic, values = torch::tanh(latent_.acoustic), apart;
    if (coded || commitment > 0) {
      const torch::Tensor entry =
          codec_.quantizer->codebook()
              .index_select(0, codec_.quantizer->nearest(semantic.detach().flatten(0, 1)))
              .view_as(semantic);
      apart = (semantic - entry).square().mean(2);  // [B, T]
      if (coded) semantic = semantic + (entry - semantic).detach();
    }
    if (coded)
      values = values + (values_of(codes_at(values, c.levels), c.levels) - values).detach();
    const torch::Tensor wave = codec_.decoder(torch::cat({semantic, values}, 2).transpose(1, 2));
    torch::Tensor loss = kWaveWeight * wave_error(wave, waves_, samples_) + spectra_(wave);
    if (apart.defined()) loss = loss + commitment * mean_of_first(apart, frames_);
    adam.zero_grad();
    loss.sum().backward();
    adam.step();
    if (++done_ % kSayEvery == 0 && done_ < steps_)
      log_info("inversion of ", samples_.size(), " windows: step ", done_, " of ", steps_,
               ", mean loss ", loss.mean().item<float>());
  }

  Codec& codec_;
  torch::Tensor waves_;  // [B, N]
  std::vector<int64_t> samples_;
  Latent latent_;
  SpectralError spectra_;
  std::vector<int64_t> frames_;  // of each row
  int64_t done_ = 0, steps_ = 0;
};

}  // namespace

std::vector<InvertedClip> invert(Codec& codec, const std::vector<torch::Tensor>& waves,
                                 const InversionOptions& options) {
  const c10::InferenceMode off(false);
  const torch::AutoGradMode gradients(true);
  const CodecConfig& config = codec.config();
  const int64_t hop = config.hop();
  std::vector<int64_t> frames;
  std::vector<std::vector<torch::Tensor>> found(waves.size());  // by window
  for (const torch::Tensor& wave : waves) frames.push_back(config.frames(wave.size(0)));
  const std::vector<Window> windows = cut_windows(frames, config, options);
  std::vector<int64_t> sizes;
  for (const Window& window : windows) {
    sizes.push_back(window.before + window.frames);
    auto& own = found[window.clip];
    own.resize(own.size() + 1);
  }
  const auto longest = static_cast<int64_t>(options.window_seconds * config.frame_rate());
  for (const std::vector<size_t>& batch : length_batches(sizes, kBatchFrames)) {
    std::vector<torch::Tensor> rows;
    std::vector<int64_t> samples;
    for (const size_t w : batch) {
      // A copy: what inference mode has made takes no part in a gradient.
      rows.push_back(wave_of(waves[windows[w].clip].clone(), windows[w], hop).to(codec.device()));
      samples.push_back(rows.back().size(0));
    }
    Search search(codec, pad_rows(rows), samples);
    search.run(options.steps);
    const torch::Tensor codes = search.codes().to(torch::kCPU);
    for (size_t i = 0; i < batch.size(); ++i) {
      const Window& window = windows[batch[i]];
      found[window.clip][static_cast<size_t>(window.from / longest)] =
          codes[static_cast<int64_t>(i)].narrow(0, window.before, window.frames).clone();
    }
  }
  std::vector<InvertedClip> clips;
  for (size_t i = 0; i < waves.size(); ++i) {
    InvertedClip clip{torch::cat(found[i]), 0};
    const torch::Tensor spoken = codec.decode({clip.codes}).front();
    const torch::Tensor wanted =
        torch::constant_pad_nd(waves[i].to(torch::kCPU), {0, spoken.size(0) - waves[i].size(0)});
    clip.error =
        spectral_error(spoken.unsqueeze(0), wanted.unsqueeze(0), {waves[i].size(0)}).item<double>();
    clips.push_back(std::move(clip));
  }
  return clips;
}

}  // namespace ttsft::voxtral
