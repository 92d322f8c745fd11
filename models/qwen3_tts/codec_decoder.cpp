#include "models/qwen3_tts/codec_decoder.h"

#include <algorithm>

#include "ttsft/core/error.h"
#include "ttsft/nn/weights.h"

namespace ttsft::qwen3_tts {

namespace {

constexpr int64_t kPieceFrames = 300, kContextFrames = 25;  // upstream's chunked_decode
constexpr int64_t kVocoderKernel = 7, kPreConvKernel = 3;
constexpr int64_t kSemanticLevels = 1;  // upstream reads codebook 0 apart, whatever the file says
// Frames per launch. A piece takes about a gigabyte at release size (240 MB per activation of the
// last stage); a GPU gains from several rows at once, a CPU is busy with one.
constexpr int64_t kCudaFrames = 8 * (kPieceFrames + kContextFrames);
constexpr int64_t kCpuFrames = kPieceFrames + kContextFrames;

CausalConv1d causal(int64_t in, int64_t out, int64_t kernel, int64_t dilation = 1) {
  return CausalConv1d(ConvOptions{.in = in, .out = out, .kernel = kernel, .dilation = dilation});
}

StackOptions stack_options(const CodecDecoderConfig& config) {
  return {.block = {.hidden = config.hidden_size,
                    .intermediate = config.intermediate_size,
                    .heads = config.num_attention_heads,
                    .kv_heads = config.num_key_value_heads,
                    .head_dim = config.head_dim,
                    .norm_eps = config.rms_norm_eps,
                    .norm = NormKind::kRms,
                    .mlp = MlpKind::kSwiGlu,
                    .layer_scale = true,
                    .window = config.sliding_window},
          .layers = config.num_hidden_layers,
          .rope_theta = config.rope_theta,
          .outside = config.latent_dim,
          .final_norm = "norm"};
}

RvqOptions quantizer_options(const CodecDecoderConfig& config, int64_t levels) {
  return {.channels = config.codebook_dim,
          .codebook_dim = config.codebook_dim / 2,
          .codebook_size = config.codebook_size,
          .levels = levels,
          .output_proj = true,
          .layers = {"vq", "layers"},
          .codebook = "_codebook",
          .names = {.sum = "embedding_sum"}};
}

}  // namespace

CodecDecoderImpl::CodecDecoderImpl(const CodecConfig& config) : config_(config) {
  const CodecDecoderConfig& c = config.decoder;
  ModuleGroup quantizer;
  rvq_first_ =
      quantizer->add("rvq_first", ResidualQuantizer(quantizer_options(c, kSemanticLevels)));
  rvq_rest_ = quantizer->add(
      "rvq_rest", ResidualQuantizer(quantizer_options(c, c.num_quantizers - kSemanticLevels)));
  register_module("quantizer", quantizer);
  pre_conv = register_module("pre_conv", causal(c.codebook_dim, c.latent_dim, kPreConvKernel));
  pre_transformer = register_module("pre_transformer", DecoderStack(stack_options(c)));

  ModuleGroup upsample;
  for (const int64_t ratio : c.upsampling_ratios) {
    ModuleGroup stage;
    CausalConvTranspose1d up(
        ConvOptions{.in = c.latent_dim, .out = c.latent_dim, .kernel = ratio, .stride = ratio});
    ConvNeXt mix(ConvNeXtOptions{.channels = c.latent_dim});
    stage->add(0, up);
    stage->add(1, mix);
    upsample->add(static_cast<int64_t>(upsample_.size()), stage);
    upsample_.emplace_back(up, mix);
  }
  register_module("upsample", upsample);

  ModuleGroup decoder;
  int64_t index = 0, width = c.decoder_dim;
  conv_in_ = decoder->add(index++, causal(c.latent_dim, width, kVocoderKernel));
  DacUpBlockOptions block;
  block.unit.activation = DacActivation::kSnakeBeta;
  block.unit.group = "";
  block.unit.names = {"act1", "conv1", "act2", "conv2"};
  for (const int64_t rate : c.upsample_rates) {
    block.in = width;
    block.out = width / 2;
    block.rate = rate;
    blocks_.push_back(decoder->add(index++, DacUpBlock(block)));
    width /= 2;
  }
  act_out_ = decoder->add(index++, SnakeBeta(width));
  conv_out_ = decoder->add(index++, causal(width, 1, kVocoderKernel));
  register_module("decoder", decoder);
}

void CodecDecoderImpl::show(const std::string& stage, const torch::Tensor& x) const {
  if (probe_) probe_(stage, x);
}

void DecoderPast::forget() {
  convolutions.forget();
  keys.reset();
}

DecoderPast CodecDecoderImpl::make_past(int64_t rows) const {
  return {{},
          pre_transformer->make_cache(rows, kPieceFrames + kContextFrames,
                                      pre_conv->parameters().front().options())};
}

torch::Tensor CodecDecoderImpl::forward(const torch::Tensor& codes, DecoderPast* past) {
  ConvStream* const stream = past ? &past->convolutions : nullptr;
  if (stream) stream->next_piece();
  const torch::Tensor frames = codes.transpose(1, 2);  // [B, F, 16]
  const int64_t rest = config_.decoder.num_quantizers - kSemanticLevels;
  torch::Tensor x = rvq_first_->decode(frames.narrow(-1, 0, kSemanticLevels));
  x = (x + rvq_rest_->decode(frames.narrow(-1, kSemanticLevels, rest))).transpose(1, 2);
  show("quantized", x);  // [B, codebook_dim, F]
  x = pre_conv(x, stream);
  show("pre_conv", x);
  x = pre_transformer->forward(x.transpose(1, 2), {}, {}, past ? &past->keys : nullptr);
  show("tr_out", x);
  x = x.transpose(1, 2);  // [B, latent, F]
  for (size_t i = 0; i < upsample_.size(); ++i) {
    auto& [up, mix] = upsample_[i];
    x = up(x, stream);
    show("up" + std::to_string(i) + "_conv", x);
    x = mix(x, stream);
    show("up" + std::to_string(i) + "_cnx", x);
  }
  x = conv_in_(x, stream);
  show("conv_in", x);
  for (size_t i = 0; i < blocks_.size(); ++i) {
    x = blocks_[i](x, stream);
    show("block" + std::to_string(i + 1), x);
  }
  return conv_out_(act_out_(x), stream).squeeze(1).clamp(-1, 1);  // [B, F * 1920]
}

// A run of frames of one utterance that is decoded at once.
struct CodecDecoderImpl::Piece {
  size_t row;        // which utterance
  int64_t from, to;  // frames that go in
  int64_t context;   // of these, frames that are only heard
  int64_t frames() const { return to - from; }
};

void CodecDecoderImpl::check(const torch::Tensor& codes) const {
  const int64_t levels = config_.decoder.num_quantizers, size = config_.decoder.codebook_size;
  if (codes.dim() != 2 || codes.size(1) != levels || codes.size(0) == 0 ||
      codes.is_floating_point()) {
    std::ostringstream shape;
    shape << codes.sizes();
    throw DataError("codes of shape " + shape.str() + " cannot be decoded", "",
                    "give whole numbers of shape [frames, " + std::to_string(levels) + "]");
  }
  if (codes.min().item<int64_t>() < 0 || codes.max().item<int64_t>() >= size) {
    throw DataError("codes lie outside the codebook", "",
                    "give codes from 0 to " + std::to_string(size - 1));
  }
}

std::vector<torch::Tensor> CodecDecoderImpl::decode(const std::vector<torch::Tensor>& codes) {
  c10::InferenceMode guard;
  const torch::Device device = pre_conv->parameters().front().device();
  std::vector<torch::Tensor> rows, waves;
  std::vector<Piece> pieces;
  for (const torch::Tensor& row : codes) {
    check(row);
    rows.push_back(row.to(device, torch::kInt64));
    const int64_t frames = row.size(0);
    waves.push_back(torch::empty({frames * config_.decode_upsample_rate}, device));
    for (int64_t start = 0; start < frames; start += kPieceFrames) {
      const int64_t context = start > kContextFrames ? kContextFrames : start;
      pieces.push_back(
          {rows.size() - 1, start - context, std::min(start + kPieceFrames, frames), context});
    }
  }
  // Longest first, so that pieces that share a launch are padded least.
  std::stable_sort(pieces.begin(), pieces.end(),
                   [](const Piece& a, const Piece& b) { return a.frames() > b.frames(); });
  const int64_t budget = device.is_cuda() ? kCudaFrames : kCpuFrames;
  for (size_t first = 0; first < pieces.size();) {
    const size_t count = std::max<int64_t>(1, budget / pieces[first].frames());
    const size_t last = std::min(pieces.size(), first + count);
    decode_pieces({pieces.begin() + first, pieces.begin() + last}, rows, waves);
    first = last;
  }
  return waves;
}

void CodecDecoderImpl::decode_pieces(std::vector<Piece> pieces,
                                     const std::vector<torch::Tensor>& codes,
                                     std::vector<torch::Tensor>& waves) {
  const int64_t longest = pieces.front().frames(), hop = config_.decode_upsample_rate;
  torch::Tensor batch =
      torch::zeros({static_cast<int64_t>(pieces.size()), config_.decoder.num_quantizers, longest},
                   codes.front().options());
  for (size_t i = 0; i < pieces.size(); ++i) {
    const Piece& piece = pieces[i];
    batch[i]
        .narrow(1, 0, piece.frames())
        .copy_(codes[piece.row].narrow(0, piece.from, piece.frames()).t());
  }
  const torch::Tensor decoded = forward(batch);  // [pieces, longest * hop]
  for (size_t i = 0; i < pieces.size(); ++i) {
    const Piece& piece = pieces[i];
    const int64_t start = piece.from + piece.context, count = piece.to - start;
    waves[piece.row]
        .narrow(0, start * hop, count * hop)
        .copy_(decoded[i].narrow(0, piece.context * hop, count * hop));
  }
}

CodecStream::CodecStream(CodecDecoder decoder)
    : decoder_(std::move(decoder)), past_(decoder_->make_past(1)) {}

torch::Tensor CodecStream::run(const torch::Tensor& codes) {
  return decoder_(codes.t().unsqueeze(0), &past_)[0];
}

torch::Tensor CodecStream::push(const torch::Tensor& given) {
  c10::InferenceMode guard;
  decoder_->check(given);
  const torch::Tensor codes = given.to(decoder_->parameters().front().device(), torch::kInt64);
  const int64_t count = codes.size(0);
  std::vector<torch::Tensor> waves;
  for (int64_t done = 0; done < count;) {
    if (frames_ > 0 && frames_ % kPieceFrames == 0) {
      past_.forget();
      run(context_);  // only heard
    }
    const int64_t room = kPieceFrames - frames_ % kPieceFrames;
    const torch::Tensor part = codes.narrow(0, done, std::min(room, count - done));
    waves.push_back(run(part));
    context_ = context_.defined() ? torch::cat({context_, part}) : part;
    context_ = context_.slice(0, std::max<int64_t>(0, context_.size(0) - kContextFrames)).clone();
    frames_ += part.size(0);
    done += part.size(0);
  }
  return torch::cat(waves);
}

std::map<std::string, std::string> CodecDecoderImpl::unused_tensors() {
  const char* reason = "for encoding, which has its own copy";
  return {{"decoder.quantizer.rvq_first.input_proj.", reason},
          {"decoder.quantizer.rvq_rest.input_proj.", reason}};
}

CodecDecoder load_codec_decoder(const std::shared_ptr<const TensorFile>& file,
                                const CodecConfig& config, torch::Device device) {
  CodecDecoder decoder(config);
  load_strict(*decoder, file,
              {.device = device, .prefix = "decoder.", .skip = CodecDecoderImpl::unused_tensors()});
  decoder->eval();
  return decoder;
}

}  // namespace ttsft::qwen3_tts
