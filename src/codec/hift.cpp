#include "ttsft/codec/hift.h"

#include <numbers>
#include <numeric>

#include "ttsft/core/error.h"
#include "ttsft/io/tensor_shapes.h"
#include "ttsft/nn/weights.h"

namespace ttsft {

namespace {

constexpr double kTwoPi = 2 * std::numbers::pi;
constexpr double kLargestMagnitude = 100;

int64_t half(int64_t kernel) {
  return (kernel - 1) / 2;
}

}  // namespace

std::vector<int64_t> hift_source_rates(const HiftOptions& options) {
  const std::vector<int64_t>& up = options.up_rates;
  std::vector<int64_t> rates(up.size(), 1);
  for (size_t i = up.size() - 1; i > 0; --i) rates[i - 1] = rates[i] * up[i];
  return rates;
}

int64_t HiftOptions::samples_per_frame() const {
  return std::accumulate(up_rates.begin(), up_rates.end(), hop, std::multiplies<>());
}

HiftOptions hift_options(const TensorFile& file, const std::string& prefix) {
  // The direction of a weight-normalised tensor has the shape of the weight.
  const auto size = [&](const std::string& stem, size_t axis) {
    for (const char* name : {".weight", ".weight_v"}) {
      if (file.find(prefix + stem + name)) return shape_of(file, prefix + stem + name, 3)[axis];
    }
    return shape_of(file, prefix + stem + ".parametrizations.weight.original1", 3)[axis];
  };
  const auto fail = [&](const std::string& what) {
    throw DataError(prefix + what, file.path().string(), "is this the file of another model?");
  };
  HiftOptions o;
  o.channels = size("conv_pre", 0);
  o.mels = size("conv_pre", 1);
  o.pre_kernel = size("conv_pre", 2);
  o.post_kernel = size("conv_post", 2);
  const int64_t scales = count_tensors(file, prefix + "ups.", ".bias");
  const int64_t blocks = count_tensors(file, prefix + "resblocks.", ".convs1.0.bias");
  if (scales != std::ssize(o.up_rates)) {
    fail("ups: " + std::to_string(scales) + " upsamplings instead of " +
         std::to_string(o.up_rates.size()));
  }
  if (blocks == 0 || blocks % scales != 0) {
    fail("resblocks: " + std::to_string(blocks) + " for " + std::to_string(scales) + " scales");
  }
  if (o.channels % (int64_t{1} << scales) != 0) {
    fail("conv_pre: " + std::to_string(o.channels) + " channels cannot be halved " +
         std::to_string(scales) + " times");
  }
  for (int64_t i = 0; i < scales; ++i) {
    const std::string at = std::to_string(i);
    o.up_kernels.push_back(size("ups." + at, 2));
    if (o.up_kernels.back() < o.up_rates[static_cast<size_t>(i)]) {
      fail("ups." + at + ": a kernel of " + std::to_string(o.up_kernels.back()) +
           " for a stride of " + std::to_string(o.up_rates[static_cast<size_t>(i)]));
    }
    o.source_block_kernels.push_back(size("source_resblocks." + at + ".convs1.0", 2));
  }
  for (int64_t i = 0; i < blocks / scales; ++i) {
    o.block_kernels.push_back(size("resblocks." + std::to_string(i) + ".convs1.0", 2));
  }
  while (file.find(prefix + "f0_predictor.condnet." + std::to_string(2 * o.f0_layers) + ".bias")) {
    ++o.f0_layers;
  }
  o.f0_channels = size("f0_predictor.condnet.0", 0);
  o.f0_kernel = size("f0_predictor.condnet.0", 2);
  o.harmonics = shape_of(file, prefix + "m_source.l_linear.weight", 2)[1];
  return o;
}

F0PredictorImpl::F0PredictorImpl(const HiftOptions& options) {
  auto condnet = register_module("condnet", ModuleGroup());
  for (int64_t i = 0; i < options.f0_layers; ++i) {
    const int64_t in = i == 0 ? options.mels : options.f0_channels;
    convs_.push_back(
        condnet->add(2 * i, Conv1d(ConvOptions{in, options.f0_channels, options.f0_kernel})));
  }
  classifier = register_module("classifier", Linear(options.f0_channels, 1, true));
}

torch::Tensor F0PredictorImpl::forward(torch::Tensor mel, const Rows& rows) {
  for (Conv1d& conv : convs_) {
    mel = rows.zero_(torch::elu(conv(mel, half(conv->options().kernel))));
  }
  return classifier(mel.transpose(1, 2)).squeeze(-1).abs();
}

HiftImpl::HiftImpl(const HiftOptions& options) : options_(options) {
  const HiftOptions& o = options_;
  f0_predictor = register_module("f0_predictor", F0Predictor(o));
  source_linear_ =
      register_module("m_source", ModuleGroup())->add("l_linear", Linear(o.harmonics, 1, true));
  conv_pre = register_module("conv_pre", Conv1d(ConvOptions{o.mels, o.channels, o.pre_kernel}));
  auto ups = register_module("ups", ModuleGroup());
  auto source_downs = register_module("source_downs", ModuleGroup());
  auto source_resblocks = register_module("source_resblocks", ModuleGroup());
  auto resblocks = register_module("resblocks", ModuleGroup());
  const std::vector<int64_t> rates = hift_source_rates(o);
  int64_t channels = o.channels;
  for (size_t i = 0; i < o.up_rates.size(); ++i) {
    const auto at = static_cast<int64_t>(i);
    ups_.push_back(ups->add(
        at, ConvTranspose1d(ConvOptions{channels, channels / 2, o.up_kernels[i], o.up_rates[i]})));
    channels /= 2;
    const int64_t rate = rates[i];
    source_downs_.push_back(source_downs->add(
        at, Conv1d(ConvOptions{o.fft + 2, channels, rate == 1 ? 1 : 2 * rate, rate})));
    source_resblocks_.push_back(
        source_resblocks->add(at, SnakeResBlock(channels, o.source_block_kernels[i], o.dilations)));
    for (const int64_t kernel : o.block_kernels) {
      resblocks_.push_back(
          resblocks->add(std::ssize(resblocks_), SnakeResBlock(channels, kernel, o.dilations)));
    }
  }
  conv_post = register_module("conv_post", Conv1d(ConvOptions{channels, o.fft + 2, o.post_kernel}));
}

torch::Tensor HiftImpl::f0(const torch::Tensor& mel, const Rows& rows) {
  return f0_predictor(mel, rows);
}

torch::Tensor HiftImpl::source(const torch::Tensor& f0, const HiftNoise& noise) {
  const HiftOptions& o = options_;
  const int64_t per_frame = o.samples_per_frame();
  const torch::Tensor f = f0.to(torch::kFloat32).unsqueeze(1);  // [B, 1, T]
  const torch::Tensor order = torch::arange(1, o.harmonics + 1, f.options()).unsqueeze(1);
  // Cycles per sample are constant inside a frame. What a frame starts with is summed over frames
  // in double, so that the phase of a long clip is as exact as that of a short one.
  const torch::Tensor step = f * order / o.sample_rate;  // [B, H, T]
  const torch::Tensor whole = step.to(torch::kFloat64) * per_frame;
  const torch::Tensor start = (whole.cumsum(-1) - whole).frac().to(torch::kFloat32);
  const torch::Tensor sample = torch::arange(1, per_frame + 1, f.options());
  const torch::Tensor cycles = torch::addcmul(start.unsqueeze(-1), step.unsqueeze(-1), sample);
  torch::Tensor phase = noise.phase.to(f.options()).clone();
  phase.select(1, 0).zero_();
  const torch::Tensor angle = cycles.frac() * kTwoPi + phase.unsqueeze(-1);  // [B, H, T, 480]

  const torch::Tensor voiced = (f > o.voiced_above).to(torch::kFloat32);  // [B, 1, T]
  const torch::Tensor sines = angle.sin() * (voiced * o.sine_amplitude).unsqueeze(-1);
  const torch::Tensor deviation =
      voiced * o.noise_deviation + (1 - voiced) * (o.sine_amplitude / 3);
  const torch::Tensor random = noise.noise.to(f.options()).unflatten(-1, {-1, per_frame});
  const torch::Tensor waves = torch::addcmul(sines, random, deviation.unsqueeze(-1)).flatten(2);
  return torch::tanh(source_linear_(waves.transpose(1, 2))).transpose(1, 2);  // [B, 1, N]
}

torch::Tensor hift_source_spectrum(const torch::Tensor& source, const HiftOptions& options,
                                   const Rows& rows) {
  StftOptions framing;
  framing.fft = framing.window = options.fft;
  framing.hop = options.hop;
  framing.pad = options.fft / 2;
  torch::Tensor samples = source;  // [B, 1, N]
  if (!rows.full()) {              // the reflection is at each row's own end
    samples =
        rows.scaled(options.samples_per_frame()).pad_reflect(source, framing.pad, framing.pad);
    framing.pad = 0;
  }
  const torch::Tensor parts = torch::view_as_real(stft(samples.squeeze(1), framing));
  return torch::cat({parts.select(-1, 0), parts.select(-1, 1)}, 1);
}

torch::Tensor HiftImpl::decode(const torch::Tensor& mel, const torch::Tensor& source, Rows rows,
                               const StageProbe& probe) {
  const HiftOptions& o = options_;
  const auto tap = [&](const char* stage, const torch::Tensor& result) {
    if (probe) probe(stage, result);
  };
  const Rows spectra = rows.scaled(o.samples_per_frame() / o.hop, 1);
  const torch::Tensor spectrum = spectra.zero_(hift_source_spectrum(source, o, rows));

  const std::vector<int64_t> rates = hift_source_rates(o);
  torch::Tensor x = conv_pre(mel, half(o.pre_kernel));
  tap("conv_pre", x);
  for (size_t i = 0; i < ups_.size(); ++i) {
    const int64_t rate = o.up_rates[i];
    x = rows.zero_(torch::leaky_relu(x, o.leaky_slope));
    x = torch::conv_transpose1d(x, ups_[i]->weight, ups_[i]->bias, rate,
                                (o.up_kernels[i] - rate) / 2);
    if (i == 0) tap("ups0", x);
    rows = rows.scaled(rate);
    if (i + 1 == ups_.size()) {
      x = torch::reflection_pad1d(x, {1, 0});
      rows = rows.scaled(1, 1);
    }
    torch::Tensor excitation = source_downs_[i](spectrum, rates[i] == 1 ? 0 : rates[i] / 2);
    if (i == 0) tap("source_downs0", excitation);
    excitation = source_resblocks_[i](excitation, rows);
    if (i == 0) tap("source_resblocks0", excitation);
    x = x + excitation;
    const size_t kernels = o.block_kernels.size();
    torch::Tensor sum;
    for (size_t j = 0; j < kernels; ++j) {
      const torch::Tensor y = resblocks_[i * kernels + j](x, rows);
      if (i == 0 && j == 0) tap("resblocks0", y);
      sum = j == 0 ? y : sum + y;
    }
    x = sum / static_cast<double>(kernels);
  }
  x = conv_post(rows.zero_(torch::leaky_relu(x, kHiftLastSlope)), half(o.post_kernel));
  tap("conv_post", x);
  return hift_synthesize(x, o, rows);
}

torch::Tensor hift_synthesize(const torch::Tensor& spectrum, const HiftOptions& options,
                              const Rows& rows) {
  const int64_t bins = options.fft / 2 + 1;
  const torch::Tensor magnitude = spectrum.narrow(1, 0, bins).exp().clamp_max(kLargestMagnitude);
  const torch::Tensor phase = spectrum.narrow(1, bins, bins).sin();
  const torch::Tensor window = torch::hann_window(options.fft, magnitude.options());
  const torch::Tensor parts = torch::polar(magnitude, phase);
  const auto inverse = [&](const torch::Tensor& of) {
    return torch::istft(of, options.fft, options.hop, options.fft, window)
        .clamp(-options.limit, options.limit);
  };
  if (rows.full()) return inverse(parts);
  // The windows that overlap at a row's end are its own only when it is alone.
  torch::Tensor waves =
      torch::zeros({parts.size(0), (parts.size(2) - 1) * options.hop}, window.options());
  for (int64_t b = 0; b < parts.size(0); ++b) {
    const torch::Tensor wave =
        inverse(parts[b].narrow(1, 0, rows.lengths()[static_cast<size_t>(b)]));
    waves[b].narrow(0, 0, wave.size(0)).copy_(wave);
  }
  return waves;
}

torch::Tensor HiftImpl::forward(const torch::Tensor& mel, const HiftNoise& noise, const Rows& rows,
                                const StageProbe& probe) {
  const torch::Tensor frequency = f0(mel, rows);
  if (probe) probe("f0", frequency);
  const torch::Tensor excitation = source(frequency, noise);
  if (probe) probe("source", excitation);
  return decode(mel, excitation, rows, probe);
}

Hift load_hift(const std::shared_ptr<const TensorFile>& file, const std::string& prefix,
               torch::Device device) {
  Hift hift(hift_options(*file, prefix));
  LoadOptions load;
  load.device = device;
  load_strict(*hift, fold_weight_norm(file, prefix), load);
  hift->eval();
  return hift;
}

}  // namespace ttsft
