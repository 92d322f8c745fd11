#include "ttsft/codec/s3_tokenizer.h"

#include <algorithm>

#include "ttsft/core/error.h"
#include "ttsft/io/tensor_shapes.h"
#include "ttsft/nn/length_batches.h"
#include "ttsft/nn/weights.h"

namespace ttsft {

namespace {

constexpr double kNormEpsilon = 1e-5;
constexpr double kRopeTheta = 10000;
constexpr int64_t kConvKernel = 3, kConvStride = 2;

// float32(1 / 1.001), which keeps tanh's end values from rounding up to a fourth level.
constexpr double kBelowOne = 0.9990000128746033;

constexpr double kLogFloor = 1e-10, kDynamicRange = 8;  // of log10

// Windows of clips above 30 s, in mel frames; codes in the half of an overlap go to the nearer
// window.
constexpr int64_t kWindow = 3000, kHopOfWindows = 2600;
constexpr int64_t kHalfOverlap = (kWindow - kHopOfWindows) / 2 / kS3MelFrames;

// Frames that one batch may hold, padding included.
constexpr int64_t kBatchFrames = 12000;

int64_t halved(int64_t length) {
  return (length + 1) / 2;
}

// A stretch of one clip's mel that the encoder sees at once.
struct Piece {
  size_t clip;
  int64_t start, frames;
};

// Upstream goes on with windows after one that has reached the end. Such a last one lies within
// the overlap and its codes would be cut on both sides: up to 2 s of speech would be missing.
std::vector<Piece> pieces_of(const std::vector<torch::Tensor>& mels) {
  std::vector<Piece> pieces;
  for (size_t i = 0; i < mels.size(); ++i) {
    const int64_t total = mels[i].size(1);
    for (int64_t start = 0;; start += kHopOfWindows) {
      pieces.push_back({i, start, std::min(kWindow, total - start)});
      if (start + kWindow >= total) break;
    }
  }
  return pieces;
}

}  // namespace

S3QuantizerImpl::S3QuantizerImpl(int64_t width, int64_t digits) {
  project_down = register_module("project_down", Linear(width, digits, /*with_bias=*/true));
}

torch::Tensor S3QuantizerImpl::forward(const torch::Tensor& x, const StageProbe& probe) {
  torch::Tensor h = project_down(x);
  if (probe) probe("project_down", h);
  h = h.tanh_().mul_(kBelowOne).round_().add_(1);  // 0, 1 or 2
  const torch::Tensor places =
      torch::pow(3.0, torch::arange(h.size(-1), h.options()));  // the first is the least
  return (h * places).sum(-1).to(torch::kInt64);
}

S3AttentionImpl::S3AttentionImpl(const S3TokenizerOptions& options)
    : heads_(options.heads), kernel_(options.memory_kernel) {
  const int64_t width = options.width;
  query = register_module("query", Linear(width, width, true));
  key = register_module("key", Linear(width, width, false));
  value = register_module("value", Linear(width, width, true));
  out = register_module("out", Linear(width, width, true));
  fsmn_block = register_module("fsmn_block", Conv1d(ConvOptions{.in = width,
                                                                .out = width,
                                                                .kernel = options.memory_kernel,
                                                                .groups = width,
                                                                .bias = false}));
}

torch::Tensor S3AttentionImpl::forward(const torch::Tensor& x, const Rope& rope,
                                       const torch::Tensor& real) {
  const auto heads = [&](const torch::Tensor& y) {
    return y.unflatten(-1, {heads_, -1}).transpose(1, 2);  // [B, H, T, d]
  };
  torch::Tensor v = value(x);  // [B, T, D]
  const torch::Tensor q = apply_rope(heads(query(x)), rope);
  const torch::Tensor k = apply_rope(heads(key(x)), rope);
  const torch::Tensor keys =
      real.defined() ? real.unsqueeze(1).unsqueeze(1) : torch::Tensor();  // [B, 1, 1, T]
  const torch::Tensor seen =
      torch::scaled_dot_product_attention(
          q, k, heads(v), keys.defined() ? std::optional<torch::Tensor>(keys) : std::nullopt)
          .transpose(1, 2)
          .flatten(2);
  if (real.defined()) v = v * real.unsqueeze(-1);
  torch::Tensor memory = torch::constant_pad_nd(
      v.transpose(1, 2), {(kernel_ - 1) / 2, kernel_ - 1 - (kernel_ - 1) / 2});
  memory = fsmn_block(memory).transpose(1, 2) + v;
  if (real.defined()) memory.mul_(real.unsqueeze(-1));
  return out(seen).add_(memory);
}

S3BlockImpl::S3BlockImpl(const S3TokenizerOptions& options) {
  attn = register_module("attn", S3Attention(options));
  attn_ln = register_module("attn_ln", LayerNorm(options.width, kNormEpsilon));
  mlp_ln = register_module("mlp_ln", LayerNorm(options.width, kNormEpsilon));
  ModuleGroup mlp;
  up_ = mlp->add(0, Linear(options.width, options.ffn, true));
  down_ = mlp->add(2, Linear(options.ffn, options.width, true));
  register_module("mlp", mlp);
}

torch::Tensor S3BlockImpl::forward(const torch::Tensor& x, const Rope& rope,
                                   const torch::Tensor& real) {
  const torch::Tensor h = x + attn(attn_ln(x), rope, real);
  return h + down_(torch::gelu(up_(mlp_ln(h))));
}

S3EncoderImpl::S3EncoderImpl(const S3TokenizerOptions& options)
    : head_dim_(options.width / options.heads) {
  const ConvOptions first = {
      .in = options.mels, .out = options.width, .kernel = kConvKernel, .stride = kConvStride};
  ConvOptions second = first;
  second.in = options.width;
  conv1 = register_module("conv1", Conv1d(first));
  conv2 = register_module("conv2", Conv1d(second));
  ModuleGroup blocks;
  for (int64_t i = 0; i < options.layers; ++i) blocks_.push_back(blocks->add(i, S3Block(options)));
  register_module("blocks", blocks);
}

torch::Tensor S3EncoderImpl::forward(const torch::Tensor& log_mel, RowLengths& lengths,
                                     const StageProbe& probe) {
  const auto show = [&](const std::string& stage, const torch::Tensor& result) {
    if (probe) probe(stage, result);
  };
  const auto halve = [&] {
    for (int64_t& length : lengths) length = halved(length);
  };
  torch::Tensor x = conv1(log_mel, kConvKernel / 2);
  show("conv1_pre_gelu", x);
  x = torch::gelu(x);
  halve();
  zero_beyond_(x, lengths);
  x = conv2(x, kConvKernel / 2);
  show("conv2_pre_gelu", x);
  x = torch::gelu(x).transpose(1, 2);  // [B, T, D]
  halve();
  const torch::Tensor positions =
      torch::arange(x.size(1), torch::TensorOptions().dtype(torch::kInt64).device(x.device()));
  const Rope rope = make_rope(positions, head_dim_, kRopeTheta, x.scalar_type());
  const torch::Tensor real = real_frames(lengths, x.size(1), x.device());
  for (size_t i = 0; i < blocks_.size(); ++i) {
    x = blocks_[i](x, rope, real);
    show("block" + std::to_string(i), x);
  }
  return x;
}

S3TokenizerImpl::S3TokenizerImpl(const S3TokenizerOptions& options) : options_(options) {
  encoder = register_module("encoder", S3Encoder(options));
  ModuleGroup quantizer;
  codebook_ = quantizer->add("_codebook", S3Quantizer(options.width, options.digits));
  register_module("quantizer", quantizer);
  const MelOptions mel = s3_mel_options(options.mels);
  filters_ = mel_filterbank(mel);
  window_ = torch::hann_window(mel.stft.window, /*periodic=*/true);
}

void S3TokenizerImpl::set_filters(const torch::Tensor& filters) {
  if (filters.sizes() != filters_.sizes()) throw std::logic_error("S3Tokenizer: filters' shape");
  filters_ = filters.to(torch::kFloat32);
}

void S3TokenizerImpl::set_window(const torch::Tensor& window) {
  if (window.sizes() != window_.sizes()) throw std::logic_error("S3Tokenizer: window's shape");
  window_ = window.to(torch::kFloat32);
}

torch::Tensor S3TokenizerImpl::log_mel_of(const torch::Tensor& wave) const {
  const StftOptions options = s3_mel_options(options_.mels).stft;
  if (wave.dim() != 1) throw std::logic_error("S3Tokenizer: a wave is not [N]");
  if (wave.size(0) <= options.pad) {
    throw DataError("cannot encode a clip of " + std::to_string(wave.size(0)) + " samples", "",
                    "give at least half a second of speech");
  }
  const torch::Tensor x =
      torch::reflection_pad1d(wave.to(window_.device(), torch::kFloat32).unsqueeze(0),
                              {options.pad, options.pad})
          .squeeze(0);
  const torch::Tensor spectrum = torch::view_as_real(
      torch::stft(x, options.fft, options.hop, options.window, window_, /*center=*/false,
                  /*pad_mode=*/"constant", /*normalized=*/false, /*onesided=*/true,
                  /*return_complex=*/true));
  // Whisper's convention: the last frame is dropped.
  const torch::Tensor power = spectrum.narrow(1, 0, spectrum.size(1) - 1).square().sum(-1);
  const torch::Tensor level = torch::matmul(filters_, power).clamp_min_(kLogFloor).log10_();
  return torch::maximum(level, level.amax() - kDynamicRange).add_(4).div_(4);
}

std::vector<torch::Tensor> S3TokenizerImpl::log_mel(const std::vector<torch::Tensor>& waves) const {
  c10::InferenceMode guard;
  std::vector<torch::Tensor> mels;
  for (const torch::Tensor& wave : waves) mels.push_back(log_mel_of(wave));
  return mels;
}

torch::Tensor S3TokenizerImpl::quantize(const torch::Tensor& log_mel, RowLengths& lengths) {
  c10::InferenceMode guard;
  if (log_mel.dim() != 3 || std::ssize(lengths) != log_mel.size(0)) {
    throw std::logic_error("S3Tokenizer: the log-mel is not [rows, mels, frames]");
  }
  const int64_t time = log_mel.size(2);
  for (const int64_t length : lengths) {
    if (length < 1 || length > time || time > kWindow) {
      throw std::logic_error("S3Tokenizer: a row of " + std::to_string(length) + " of " +
                             std::to_string(time) + " frames");
    }
  }
  torch::Tensor x = log_mel;
  if (std::any_of(lengths.begin(), lengths.end(), [&](int64_t n) { return n < time; })) {
    x = log_mel.clone();
    zero_beyond_(x, lengths);
  }
  torch::Tensor codes = codebook_(encoder(x, lengths, probe_), probe_);
  zero_beyond_(codes, lengths);
  return codes;
}

std::vector<torch::Tensor> S3TokenizerImpl::encode(const std::vector<torch::Tensor>& waves,
                                                   int64_t max_codes) {
  c10::InferenceMode guard;
  std::vector<torch::Tensor> mels = log_mel(waves);
  if (max_codes > 0) {
    for (torch::Tensor& mel : mels) {
      mel = mel.narrow(1, 0, std::min(mel.size(1), kS3MelFrames * max_codes));
    }
  }
  const std::vector<Piece> pieces = pieces_of(mels);
  std::vector<int64_t> sizes;
  for (const Piece& piece : pieces) sizes.push_back(piece.frames);
  std::vector<torch::Tensor> codes(pieces.size());
  for (const std::vector<size_t>& batch : length_batches(sizes, kBatchFrames)) {
    std::vector<torch::Tensor> rows;
    RowLengths lengths;
    for (const size_t i : batch) {
      rows.push_back(mels[pieces[i].clip].narrow(1, pieces[i].start, sizes[i]).t());
      lengths.push_back(sizes[i]);
    }
    const torch::Tensor all =
        quantize(pad_rows(rows).transpose(1, 2), lengths).to(torch::kCPU);  // [B, codes]
    for (size_t row = 0; row < batch.size(); ++row) {
      codes[batch[row]] = all[static_cast<int64_t>(row)].narrow(0, 0, lengths[row]);
    }
  }
  std::vector<std::vector<torch::Tensor>> parts(waves.size());
  for (size_t i = 0; i < pieces.size(); ++i) {
    const bool first = pieces[i].start == 0;
    const bool last = i + 1 == pieces.size() || pieces[i + 1].clip != pieces[i].clip;
    const int64_t from = first ? 0 : kHalfOverlap;
    const int64_t to = codes[i].size(0) - (last ? 0 : kHalfOverlap);
    parts[pieces[i].clip].push_back(codes[i].narrow(0, from, to - from));
  }
  std::vector<torch::Tensor> whole;
  for (const auto& clip : parts) whole.push_back(torch::cat(clip));
  return whole;
}

MelOptions s3_mel_options(int64_t mels) {
  MelOptions options;
  options.stft = {.fft = 400, .window = 400, .hop = 160, .pad = 200};
  options.sample_rate = kS3SampleRate;
  options.bins = mels;
  options.power = 2;
  options.log = LogKind::kLog10;
  options.log_floor = kLogFloor;
  options.drop_last_frame = true;
  return options;
}

S3TokenizerOptions read_s3_options(const TensorFile& file, const std::string& prefix,
                                   int64_t heads) {
  const auto size = [&](const std::string& name, size_t dimensions, size_t axis) {
    return shape_of(file, prefix + name, dimensions)[axis];
  };
  S3TokenizerOptions options;
  options.width = size("encoder.conv1.weight", 3, 0);
  options.mels = size("encoder.conv1.weight", 3, 1);
  options.heads = heads;
  options.layers = count_tensors(file, prefix + "encoder.blocks.", ".attn_ln.weight");
  options.ffn = size("encoder.blocks.0.mlp.0.weight", 2, 0);
  options.memory_kernel = size("encoder.blocks.0.attn.fsmn_block.weight", 3, 2);
  options.digits = size("quantizer._codebook.project_down.weight", 2, 0);
  if (heads < 1 || options.width % heads != 0 || options.width / heads % 2 != 0) {
    throw DataError("a speech tokenizer of width " + std::to_string(options.width) +
                        " cannot have " + std::to_string(heads) + " heads",
                    file.path().string(), "correct the number of heads");
  }
  return options;
}

S3Tokenizer load_s3_tokenizer(const std::shared_ptr<const TensorFile>& file,
                              const std::string& prefix, int64_t heads, torch::Device device) {
  const S3TokenizerOptions options = read_s3_options(*file, prefix, heads);
  S3Tokenizer tokenizer(options);
  load_strict(*tokenizer, file,
              {.device = device,
               .prefix = prefix,
               .skip = {{prefix + "_mel_filters", "of the front end, taken below"},
                        {prefix + "window", "of the front end, taken below"}}});
  tokenizer->eval();
  const MelOptions mel = s3_mel_options(options.mels);
  torch::Tensor filters = mel_filterbank(mel);
  torch::Tensor window = torch::hann_window(mel.stft.window, /*periodic=*/true);
  const auto own = [&](const std::string& name, torch::Tensor& numbers) {
    const TensorView* view = file->find(prefix + name);
    if (!view) return;
    if (view->shape != numbers.sizes().vec()) {
      throw DataError(prefix + name + " has the shape " + shape_text(view->shape) + " instead of " +
                          shape_text(numbers.sizes().vec()),
                      file->path().string(), "is this the file of another tokenizer?");
    }
    numbers = copy_tensor(*view);
  };
  own("_mel_filters", filters);
  own("window", window);
  tokenizer->set_filters(filters.to(device));
  tokenizer->set_window(window.to(device));
  return tokenizer;
}

}  // namespace ttsft
