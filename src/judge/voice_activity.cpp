#include "ttsft/judge/voice_activity.h"

#include <algorithm>
#include <array>

#include "ttsft/io/onnx.h"
#include "ttsft/nn/weights.h"

namespace ttsft {
namespace {

constexpr int64_t kContext = 64;  // samples of the window before
constexpr int64_t kFft = 256, kHop = 128, kBins = kFft / 2 + 1;
constexpr int64_t kReflected = 64;  // samples, at the end of a window
constexpr int64_t kHidden = 128;
constexpr int64_t kBatchWindows = 4096;  // 131 s, of one run of the convolutions
constexpr double kWindowSeconds = double(kVoiceActivityWindow) / kVoiceActivityRate;

Conv1d conv(int64_t in, int64_t out, int64_t kernel, int64_t stride, bool bias = true) {
  return Conv1d(
      ConvOptions{.in = in, .out = out, .kernel = kernel, .stride = stride, .bias = bias});
}

}  // namespace

LstmCellImpl::LstmCellImpl(int64_t in, int64_t hidden) {
  const auto add = [&](const char* name, torch::IntArrayRef shape) {
    return register_parameter(name, torch::empty(shape), /*requires_grad=*/false);
  };
  weight_ih = add("weight_ih", {4 * hidden, in});
  weight_hh = add("weight_hh", {4 * hidden, hidden});
  bias_ih = add("bias_ih", {4 * hidden});
  bias_hh = add("bias_hh", {4 * hidden});
}

torch::Tensor LstmCellImpl::forward(const torch::Tensor& x,
                                    std::pair<torch::Tensor, torch::Tensor>& state) {
  const auto [output, hidden, cell] = torch::lstm(
      x, {state.first, state.second}, {weight_ih, weight_hh, bias_ih, bias_hh}, /*has_biases=*/true,
      /*num_layers=*/1, /*dropout=*/0.0, /*train=*/false, /*bidirectional=*/false,
      /*batch_first=*/true);
  state = {hidden, cell};
  return output;
}

SileroVadImpl::SileroVadImpl() {
  ModuleGroup stft, encoder, decoder, head;
  forward_basis_buffer =
      stft->register_buffer("forward_basis_buffer", torch::empty({2 * kBins, 1, kFft}));
  const std::array<Conv1d, 4> layers = {conv(kBins, 128, 3, 1), conv(128, 64, 3, 2),
                                        conv(64, 64, 3, 2), conv(64, kHidden, 3, 1)};
  for (int64_t i = 0; i < std::ssize(layers); ++i) {
    const ModuleGroup layer = encoder->add(i, ModuleGroup());
    encoder_.push_back(ModuleGroup(layer)->add("reparam_conv", layers[static_cast<size_t>(i)]));
  }
  rnn = decoder->add("rnn", LstmCell(kHidden, kHidden));
  output_ = head->add(2, conv(kHidden, 1, 1, 1));
  decoder->add("decoder", head);
  register_module("stft", stft);
  register_module("encoder", encoder);
  register_module("decoder", decoder);
}

torch::Tensor SileroVadImpl::encode(const torch::Tensor& windows) {
  torch::Tensor x = torch::reflection_pad1d(windows.unsqueeze(1), {0, kReflected});
  x = torch::conv1d(x, forward_basis_buffer, {}, kHop);  // [T, 2 bins, 4]
  const torch::Tensor real = x.slice(1, 0, kBins), imaginary = x.slice(1, kBins);
  x = (real * real + imaginary * imaginary).sqrt();
  for (Conv1d& layer : encoder_) x = layer(x, /*padding=*/1).relu_();
  return x.squeeze(-1);
}

std::vector<float> SileroVadImpl::probabilities(std::span<const float> samples) {
  c10::InferenceMode guard;
  const auto count = static_cast<int64_t>(samples.size());
  const int64_t windows = (count + kVoiceActivityWindow - 1) / kVoiceActivityWindow;
  std::pair<torch::Tensor, torch::Tensor> state{torch::zeros({1, 1, kHidden}),
                                                torch::zeros({1, 1, kHidden})};
  std::vector<float> all;
  all.reserve(static_cast<size_t>(windows));
  for (int64_t first = 0; first < windows; first += kBatchWindows) {
    const int64_t rows = std::min(kBatchWindows, windows - first);
    const int64_t begin = first * kVoiceActivityWindow - kContext;  // of what the rows hear
    const int64_t heard = kContext + rows * kVoiceActivityWindow;
    const int64_t from = std::max(begin, int64_t{0}), to = std::min(begin + heard, count);
    torch::Tensor piece = torch::zeros({heard});
    piece.slice(0, from - begin, to - begin)
        .copy_(torch::from_blob(const_cast<float*>(samples.data() + from), {to - from}));
    const torch::Tensor x =
        encode(piece.unfold(0, kContext + kVoiceActivityWindow, kVoiceActivityWindow));
    const torch::Tensor hidden = rnn(x.unsqueeze(0), state).relu();  // [1, T, hidden]
    const torch::Tensor found =
        output_(hidden.transpose(1, 2)).sigmoid().flatten().contiguous();  // [T]
    all.insert(all.end(), found.data_ptr<float>(), found.data_ptr<float>() + rows);
  }
  return all;
}

SileroVad load_silero_vad(const std::filesystem::path& file) {
  SileroVad vad;
  load_strict(*vad, OnnxFile::open(file), {.prefix = "model."});
  vad->eval();
  return vad;
}

std::vector<SpeechSpan> speech_spans(std::span<const float> probabilities, double seconds,
                                     const VoiceActivityOptions& options) {
  std::vector<SpeechSpan> spans;
  double begin = -1, silent_since = -1;  // none
  const auto close = [&](double end) {
    if (end - begin > options.least_speech) spans.push_back({begin, end});
    begin = silent_since = -1;
  };
  for (size_t i = 0; i < probabilities.size(); ++i) {
    const double at = static_cast<double>(i) * kWindowSeconds;
    const double p = probabilities[i];
    if (p >= options.threshold) {
      silent_since = -1;
      if (begin < 0) begin = at;
    } else if (begin >= 0 && p < options.end_threshold) {
      if (silent_since < 0) silent_since = at;
      if (at - silent_since >= options.least_silence) close(silent_since);
    }
  }
  if (begin >= 0) close(seconds);
  return spans;
}

}  // namespace ttsft
