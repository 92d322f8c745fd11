#include "models/cosyvoice3/hift.h"

#include <numbers>

#include "ttsft/io/tensor_shapes.h"
#include "ttsft/nn/weights.h"

namespace ttsft::cosyvoice3 {
namespace {

torch::Tensor backwards(Conv1d& conv, const torch::Tensor& x) {
  return conv(torch::constant_pad_nd(x, {conv->options().effective_kernel() - 1, 0}));
}

// Zeros ahead where the signal ends here; else the last frames are what it looks ahead to.
torch::Tensor forwards(Conv1d& conv, const torch::Tensor& x, bool final) {
  return conv(final ? torch::constant_pad_nd(x, {0, conv->options().kernel - 1}) : x);
}

}  // namespace

CausalF0PredictorImpl::CausalF0PredictorImpl(const HiftOptions& o, int64_t later_kernel) {
  auto condnet = register_module("condnet", ModuleGroup());
  for (int64_t i = 0; i < o.f0_layers; ++i) {
    const ConvOptions conv{i == 0 ? o.mels : o.f0_channels, o.f0_channels,
                           i == 0 ? o.f0_kernel : later_kernel};
    convs_.push_back(condnet->add(2 * i, Conv1d(conv)));
  }
  classifier = register_module("classifier", Linear(o.f0_channels, 1, true));
}

torch::Tensor CausalF0PredictorImpl::forward(const torch::Tensor& mel, const Rows& rows,
                                             bool final) {
  torch::Tensor x = mel.to(torch::kFloat64);
  for (size_t i = 0; i < convs_.size(); ++i)
    x = rows.zero_(torch::elu(i == 0 ? forwards(convs_[i], x, final) : backwards(convs_[i], x)));
  return classifier(x.transpose(1, 2)).squeeze(-1).abs().to(torch::kFloat32);
}

CausalHiftImpl::CausalHiftImpl(const HiftOptions& options, int64_t f0_later_kernel)
    : options_(options) {
  const HiftOptions& o = options_;
  f0_predictor = register_module("f0_predictor", CausalF0Predictor(o, f0_later_kernel));
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
    ups_.push_back(ups->add(at, Conv1d(ConvOptions{channels, channels / 2, o.up_kernels[i]})));
    channels /= 2;
    const int64_t rate = rates[i];
    source_downs_.push_back(source_downs->add(
        at, Conv1d(ConvOptions{o.fft + 2, channels, rate == 1 ? 1 : 2 * rate, rate})));
    source_resblocks_.push_back(source_resblocks->add(
        at, SnakeResBlock(channels, o.source_block_kernels[i], o.dilations, /*causal=*/true)));
    for (const int64_t kernel : o.block_kernels)
      resblocks_.push_back(resblocks->add(std::ssize(resblocks_),
                                          SnakeResBlock(channels, kernel, o.dilations, true)));
  }
  conv_post = register_module("conv_post", Conv1d(ConvOptions{channels, o.fft + 2, o.post_kernel}));
}

int64_t CausalHiftImpl::held_back() const {
  return f0_predictor->ahead() + options_.pre_kernel - 1 + 1;  // the last one's windows overlap
}

torch::Tensor CausalHiftImpl::source(const torch::Tensor& f0, const torch::Tensor& noise) {
  const HiftOptions& o = options_;
  const int64_t per_frame = o.samples_per_frame();
  const torch::Tensor f = f0.unsqueeze(2);  // [B, T, 1]
  const torch::Tensor order = torch::arange(1, o.harmonics + 1, f.options());
  // Upstream sums cycles over frames and holds the phase within a frame, in these roundings.
  const torch::Tensor cycles =
      (f * order / static_cast<double>(o.sample_rate)).remainder(1);  // [B, T, H]
  const torch::Tensor phase = cycles.to(torch::kFloat64).cumsum(1).to(torch::kFloat32) * 2 *
                              std::numbers::pi * static_cast<double>(per_frame);
  const torch::Tensor voiced = (f > o.voiced_above).to(torch::kFloat32);  // [B, T, 1]
  const torch::Tensor sines = phase.sin() * o.sine_amplitude * voiced;
  const torch::Tensor level = voiced * o.noise_deviation + (1 - voiced) * o.sine_amplitude / 3;
  const torch::Tensor random = noise.to(f.options()).unflatten(1, {-1, per_frame});
  const torch::Tensor waves =
      torch::addcmul(sines.unsqueeze(2), random, level.unsqueeze(2)).flatten(1, 2);  // [B, N, H]
  return torch::tanh(source_linear_(waves)).transpose(1, 2);
}

torch::Tensor CausalHiftImpl::decode(const torch::Tensor& mel, const torch::Tensor& source,
                                     Rows rows, bool final, const StageProbe& probe) {
  const HiftOptions& o = options_;
  const auto tap = [&](const std::string& stage, const torch::Tensor& result) {
    if (probe) probe(stage, result);
  };
  const Rows spectra = rows.scaled(o.samples_per_frame() / o.hop, 1);
  torch::Tensor spectrum = spectra.zero_(hift_source_spectrum(source, o, rows));
  torch::Tensor x = forwards(conv_pre, mel, final);
  tap("conv_pre", x);
  if (!final) spectrum = spectrum.narrow(2, 0, x.size(2) * o.samples_per_frame() / o.hop + 1);
  const std::vector<int64_t> rates = hift_source_rates(o);
  for (size_t i = 0; i < ups_.size(); ++i) {
    const int64_t rate = o.up_rates[i];
    x = rows.zero_(torch::leaky_relu(x, o.leaky_slope));
    x = backwards(ups_[i], x.repeat_interleave(rate, 2));
    rows = rows.scaled(rate);
    tap("ups" + std::to_string(i), x);
    if (i + 1 == ups_.size()) {
      x = torch::reflection_pad1d(x, {1, 0});
      rows = rows.scaled(1, 1);
    }
    torch::Tensor excitation =
        source_downs_[i](torch::constant_pad_nd(spectrum, {rates[i] - 1, 0}));
    if (i == 0) tap("source_downs0", excitation);
    x = x + source_resblocks_[i](excitation, rows);
    const size_t kernels = o.block_kernels.size();
    torch::Tensor sum;
    for (size_t j = 0; j < kernels; ++j) {
      const torch::Tensor y = resblocks_[i * kernels + j](x, rows);
      if (i == 0 && j == 0) tap("resblocks0", y);
      sum = j == 0 ? y : sum + y;
    }
    x = sum / static_cast<double>(kernels);
  }
  x = backwards(conv_post, rows.zero_(torch::leaky_relu(x, kHiftLastSlope)));
  tap("conv_post", x);
  const torch::Tensor wave = hift_synthesize(x, o, rows);
  return final ? wave : wave.narrow(1, 0, wave.size(1) - o.samples_per_frame());
}

torch::Tensor CausalHiftImpl::forward(const torch::Tensor& mel, const torch::Tensor& noise,
                                      const Rows& rows, bool final, const StageProbe& probe) {
  const torch::Tensor frequency = f0_predictor(mel, rows, final);
  if (probe) probe("f0", frequency);
  const int64_t samples = frequency.size(1) * options_.samples_per_frame();
  const torch::Tensor excitation = source(frequency, noise.narrow(1, 0, samples));
  if (probe) probe("source", excitation);
  return decode(mel.narrow(2, 0, frequency.size(1)), excitation, rows, final, probe);
}

CausalHift load_causal_hift(const std::shared_ptr<const TensorFile>& file, torch::Device device) {
  const std::string prefix = file->find("generator.conv_pre.bias") ? "generator." : "";
  const HiftOptions options = hift_options(*file, prefix);
  const auto folded = fold_weight_norm(file, prefix);
  const int64_t later = options.f0_layers > 1
                            ? shape_of(*folded, "f0_predictor.condnet.2.weight", 3)[2]
                            : options.f0_kernel;
  CausalHift hift(options, later);
  load_strict(*hift, folded, {.device = device});
  hift->named_children()["f0_predictor"]->to(torch::kFloat64);
  hift->eval();
  return hift;
}

}  // namespace ttsft::cosyvoice3
