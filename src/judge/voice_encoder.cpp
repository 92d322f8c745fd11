#include "ttsft/judge/voice_encoder.h"

#include <algorithm>
#include <span>

#include "ttsft/audio/trim.h"
#include "ttsft/core/error.h"
#include "ttsft/io/tensor_shapes.h"
#include "ttsft/nn/weights.h"

namespace ttsft {
namespace {

constexpr int64_t kWindow = 160;  // frames of 10 ms
constexpr int64_t kStep = 77;     // round(16000 / 1.3 / 160): 1.3 windows begin in a second
constexpr double kLeastShare = 0.8;
constexpr double kSilenceDb = 20;  // below the loudest frame

constexpr int64_t kBatchWindows = 512;  // of one run of the LSTM

torch::Tensor unit(const torch::Tensor& x) {
  return x / x.norm(2, -1, /*keepdim=*/true);
}

}  // namespace

VoiceLstmImpl::VoiceLstmImpl(const VoiceEncoderOptions& options)
    : layers_(options.layers), hidden_(options.hidden) {
  const int64_t rows = 4 * options.hidden;  // of the four gates
  for (int64_t i = 0; i < options.layers; ++i) {
    const auto add = [&](const std::string& name, torch::IntArrayRef shape) {
      weights_.push_back(register_parameter(name + "_l" + std::to_string(i), torch::empty(shape),
                                            /*requires_grad=*/false));
    };
    add("weight_ih", {rows, i == 0 ? options.mels : options.hidden});
    add("weight_hh", {rows, options.hidden});
    add("bias_ih", {rows});
    add("bias_hh", {rows});
  }
}

torch::Tensor VoiceLstmImpl::forward(const torch::Tensor& x) {
  const torch::Tensor zero = torch::zeros({layers_, x.size(0), hidden_}, x.options());
  const auto [output, hidden, cell] =
      torch::lstm(x, {zero, zero}, weights_, /*has_biases=*/true, layers_, /*dropout=*/0.0,
                  /*train=*/false, /*bidirectional=*/false, /*batch_first=*/true);
  return hidden[-1];
}

VoiceEncoderImpl::VoiceEncoderImpl(const VoiceEncoderOptions& options) {
  lstm = register_module("lstm", VoiceLstm(options));
  proj = register_module("proj", Linear(options.hidden, options.embedding, /*with_bias=*/true));
  mel_ = std::make_unique<MelExtractor>(voice_mel_options(options.mels));
}

torch::Tensor VoiceEncoderImpl::mel(const torch::Tensor& wave) const {
  if (wave.dim() != 1) throw std::logic_error("VoiceEncoder: a wave is not [N]");
  const torch::Tensor samples = wave.to(torch::kCPU, torch::kFloat32).contiguous();
  const std::span<const float> view(samples.data_ptr<float>(),
                                    static_cast<size_t>(samples.numel()));
  const SampleRange sound = trim_range(view, {.top_db = kSilenceDb});
  return (*mel_)(
      samples.slice(0, static_cast<int64_t>(sound.begin), static_cast<int64_t>(sound.end)));
}

torch::Tensor VoiceEncoderImpl::windows(const torch::Tensor& mel) {
  const int64_t covered = kWindow + kStep * (voice_windows(mel.size(0)) - 1);
  const torch::Tensor kept = mel.slice(0, 0, covered);
  const torch::Tensor padded = torch::constant_pad_nd(kept, {0, 0, 0, covered - kept.size(0)});
  return padded.unfold(0, kWindow, kStep).transpose(1, 2);
}

torch::Tensor VoiceEncoderImpl::forward(const torch::Tensor& windows) {
  return unit(proj(lstm(windows.to(proj->weight.device()).contiguous())).relu_());
}

std::vector<torch::Tensor> VoiceEncoderImpl::embed(const std::vector<torch::Tensor>& waves) {
  c10::InferenceMode guard;
  if (waves.empty()) return {};
  std::vector<torch::Tensor> clips, batches;
  std::vector<int64_t> counts;
  for (const torch::Tensor& wave : waves) {
    clips.push_back(windows(mel(wave)));
    counts.push_back(clips.back().size(0));
  }
  for (const torch::Tensor& batch : torch::cat(clips).split(kBatchWindows)) {
    batches.push_back(forward(batch));
  }
  std::vector<torch::Tensor> vectors;
  for (const torch::Tensor& clip : torch::cat(batches).split_with_sizes(counts)) {
    vectors.push_back(unit(clip.mean(0)));
  }
  if (!torch::stack(vectors).isfinite().all().item<bool>()) {
    throw DataError("the voice encoder hears no voice in a clip", "", "give a second of speech");
  }
  return vectors;
}

int64_t voice_windows(int64_t frames) {
  const int64_t steps = std::max(frames - kWindow + kStep, int64_t{0});
  const int64_t whole = steps / kStep, rest = steps % kStep;
  const double share = static_cast<double>(rest + kWindow - kStep) / kWindow;
  return whole == 0 || share >= kLeastShare ? whole + 1 : whole;
}

MelOptions voice_mel_options(int64_t mels) {
  MelOptions options;
  options.stft = {.fft = 400, .window = 400, .hop = 160, .pad = 200};
  options.sample_rate = kVoiceRate;
  options.bins = mels;
  options.power = 2;
  options.log = LogKind::kNone;
  return options;
}

VoiceEncoderOptions read_voice_encoder_options(const TensorFile& file) {
  VoiceEncoderOptions options;
  options.mels = shape_of(file, "lstm.weight_ih_l0", 2)[1];
  options.hidden = shape_of(file, "lstm.weight_hh_l0", 2)[1];
  options.layers = count_tensors(file, "lstm.weight_ih_l", "");
  options.embedding = shape_of(file, "proj.weight", 2)[0];
  return options;
}

VoiceEncoder load_voice_encoder(const std::shared_ptr<const TensorFile>& file,
                                torch::Device device) {
  VoiceEncoder encoder(read_voice_encoder_options(*file));
  load_strict(*encoder, file,
              {.device = device,
               .skip = {{"similarity_weight", "of the loss it was trained with"},
                        {"similarity_bias", "of the loss it was trained with"}}});
  encoder->eval();
  return encoder;
}

}  // namespace ttsft
