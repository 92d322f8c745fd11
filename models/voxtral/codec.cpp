#include "models/voxtral/codec.h"

#include <algorithm>
#include <cmath>

#include "ttsft/core/error.h"
#include "ttsft/io/torch_file.h"
#include "ttsft/nn/block_names.h"
#include "ttsft/nn/length_batches.h"
#include "ttsft/nn/weights.h"

namespace ttsft::voxtral {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kBatchFrames = 1500;  // of codes that run together: 2 minutes
constexpr int64_t kPieceFrames = 375;   // of codes that are decoded at once
constexpr int64_t kNearestRows = 2048;  // compared with all entries at once
constexpr double kLeastUsage = 1e-5;    // as upstream: a row that was never used stays finite

int64_t ceil_div(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

StackOptions stack_options(const CodecConfig& c, int64_t layers, int64_t window) {
  StackOptions options;
  options.layers = layers;
  options.rotates = false;
  BlockOptions& block = options.block;
  block.hidden = c.dim;
  block.intermediate = c.hidden;
  block.heads = c.heads;
  block.kv_heads = c.kv_heads;
  block.head_dim = c.head_dim;
  block.norm_eps = c.norm_eps;
  block.qk_norm = QkNorm::kWhole;
  block.qk_norm_eps = c.qk_norm_eps;
  block.layer_scale = true;
  block.alibi = true;
  block.window = window + 1;  // upstream counts what lies before
  block.names = block_names();
  return options;
}

ConvOptions conv_options(int64_t in, int64_t out, int64_t kernel, int64_t stride = 1) {
  return {.in = in, .out = out, .kernel = kernel, .stride = stride, .bias = false};
}

}  // namespace

torch::Tensor values_of(const torch::Tensor& codes, int64_t levels) {
  return codes.to(torch::kFloat32) * 2 / (levels - 1) - 1;
}

torch::Tensor codes_at(const torch::Tensor& values, int64_t levels) {
  // torch::round goes to the even neighbour.
  return ((values + 1) / 2 * (levels - 1)).round().to(torch::kInt64);
}

void check_codes(const torch::Tensor& codes, const CodecConfig& config, const std::string& where) {
  const std::string wanted =
      "wanted: frames of " + std::to_string(config.codebooks()) + " codes, the first from 0 to " +
      std::to_string(config.semantic_codes - 1) + ", the others from 0 to " +
      std::to_string(config.levels - 1) + ", without the two special ids that tokens begin with";
  if (codes.dim() != 2 || codes.size(1) != config.codebooks())
    throw DataError("the codes are " + shape_text(codes.sizes().vec()), where, wanted);
  if (codes.numel() == 0) return;
  const torch::Tensor rest = codes.narrow(1, 1, config.acoustic_dim);
  if (codes.min().item<int64_t>() < 0 ||
      codes.select(1, 0).max().item<int64_t>() >= config.semantic_codes ||
      rest.max().item<int64_t>() >= config.levels)
    throw DataError("a code lies outside its codebook", where, wanted);
}

BlockNames block_names() {
  BlockNames names = meta_block_names();
  names.attention_scale = "attention_scale";
  names.mlp_scale = "ffn_scale";
  names.scale_parameter = nullptr;
  return names;
}

PatchConvImpl::PatchConvImpl(int64_t in, int64_t out, int64_t kernel) : past_(kernel - 1) {
  conv = register_module("conv", Conv1d(conv_options(in, out, kernel)));
}

torch::Tensor PatchConvImpl::forward(const torch::Tensor& x) {
  if (past_ == 0) return conv(x);
  // What is too short to be mirrored gets zeros behind it first, as upstream.
  const int64_t missing = std::max<int64_t>(0, past_ + 1 - x.size(-1));
  const torch::Tensor longer = missing > 0 ? torch::constant_pad_nd(x, {0, missing}) : x;
  const torch::Tensor mirrored = torch::reflection_pad1d(longer, {past_, 0});
  return conv(mirrored.narrow(-1, 0, mirrored.size(-1) - missing));
}

CodecEncoderImpl::CodecEncoderImpl(const CodecConfig& c) : config_(c) {
  input_proj = register_module("input_proj", PatchConv(c.patch, c.dim, c.patch_kernel));
  auto blocks = register_module("encoder_blocks", ModuleGroup());
  int64_t window = c.window, index = 0;
  for (size_t i = 0; i < c.encoder.layers.size(); ++i) {
    const bool last = i + 1 == c.encoder.layers.size();
    const int64_t kernel = c.encoder.kernels[i], stride = c.encoder.strides[i];
    Stage stage;
    stage.transformer =
        blocks->add(index++, DecoderStack(stack_options(c, c.encoder.layers[i], window)));
    if (kernel != 1 || stride != 1)
      stage.conv = blocks->add(
          index++, CausalConv1d(conv_options(c.dim, last ? c.latent() : c.dim, kernel, stride),
                                EdgePadding::kReplicate));
    if (stride > 1) window /= 2;
    stages_.push_back(stage);
  }
}

void CodecEncoderImpl::set_activation_checkpointing(bool on) {
  Recomputing::set_activation_checkpointing(on);
  for (Stage& stage : stages_) stage.transformer->set_activation_checkpointing(on);
}

torch::Tensor CodecEncoderImpl::forward(const torch::Tensor& waves,
                                        const std::vector<int64_t>& samples,
                                        const StageProbe& probe) {
  // [B, N] -> [B, 240, N / 240]
  torch::Tensor x =
      input_proj(waves.unflatten(1, {-1, config_.patch}).transpose(1, 2).contiguous());
  if (probe) probe("enc.input_proj", x);
  RowLengths lengths;
  for (const int64_t count : samples) lengths.push_back(ceil_div(count, config_.patch));
  int64_t index = 0;
  const auto show = [&](const torch::Tensor& y) {
    if (probe) probe("enc.block" + std::to_string(index), y);
    ++index;
  };
  for (Stage& stage : stages_) {
    x = stage.transformer->forward(x.transpose(1, 2)).transpose(1, 2);
    show(x);
    if (stage.conv.is_empty()) continue;
    x = stage.conv->forward_rows(x, lengths);
    show(x);
  }
  if (probe) probe("enc.latent", x);
  return x;
}

CodecDecoderImpl::CodecDecoderImpl(const CodecConfig& c) : config_(c) {
  auto blocks = register_module("decoder_blocks", ModuleGroup());
  int64_t window = c.window, index = 0;
  for (const int64_t stride : c.decoder.strides)
    if (stride > 1) window /= 2;
  for (size_t i = 0; i < c.decoder.layers.size(); ++i) {
    const int64_t kernel = c.decoder.kernels[i], stride = c.decoder.strides[i];
    Stage stage;
    if (i == 0)
      stage.first = blocks->add(
          index++, CausalConv1d(conv_options(c.latent(), c.dim, kernel), EdgePadding::kReplicate));
    if (i > 0 && (kernel != 1 || stride != 1))
      stage.up =
          blocks->add(index++, CausalConvTranspose1d(conv_options(c.dim, c.dim, kernel, stride)));
    if (stride > 1) window *= 2;
    stage.transformer =
        blocks->add(index++, DecoderStack(stack_options(c, c.decoder.layers[i], window)));
    stages_.push_back(stage);
  }
  output_proj = register_module("output_proj", PatchConv(c.dim, c.patch, c.patch_kernel));
}

int64_t CodecDecoderImpl::past_frames() const {
  const CodecHalf& half = config_.decoder;
  double past = 0;     // in frames
  double columns = 1;  // of a frame, at this stage
  int64_t window = config_.window / config_.columns_per_frame();
  for (size_t i = 0; i < half.layers.size(); ++i) {
    // Of a transposed convolution: inputs before its own.
    const double reach = i == 0 ? static_cast<double>(half.kernels[i] - 1)
                                : static_cast<double>((half.kernels[i] - 1) / half.strides[i]);
    past += reach / columns;
    columns *= static_cast<double>(half.strides[i]);
    if (half.strides[i] > 1) window *= 2;
    past += static_cast<double>(half.layers[i] * window) / columns;
  }
  past += static_cast<double>(config_.patch_kernel - 1) / columns;
  return static_cast<int64_t>(std::ceil(past));
}

torch::Tensor CodecDecoderImpl::forward(const torch::Tensor& latent, const StageProbe& probe) {
  torch::Tensor x = latent;
  int64_t index = 0;
  const auto show = [&](const torch::Tensor& y) {
    if (probe) probe("dec.block" + std::to_string(index), y);
    ++index;
  };
  for (Stage& stage : stages_) {
    if (stage.first || stage.up) {
      x = stage.first ? stage.first(x) : stage.up(x);
      show(x);
    }
    x = stage.transformer->forward(x.transpose(1, 2)).transpose(1, 2);
    show(x);
  }
  x = output_proj(x.contiguous());  // [B, 240, 8 T]
  if (probe) probe("dec.output_proj", x);
  return x.transpose(1, 2).flatten(1);
}

QuantizerImpl::QuantizerImpl(const CodecConfig& config) : config_(config) {
  auto table = register_module("semantic_codebook", ModuleGroup());
  embedding_sum_ = table->register_parameter(
      "embedding_sum", torch::empty({config.semantic_codes, config.semantic_dim}), false);
  cluster_usage_ =
      table->register_parameter("cluster_usage", torch::empty({config.semantic_codes}), false);
}

torch::Tensor QuantizerImpl::codebook() const {
  if (!codebook_.defined()) {
    const auto table = named_parameters();
    const torch::Tensor usage = table["semantic_codebook.cluster_usage"].to(torch::kFloat32);
    codebook_ = table["semantic_codebook.embedding_sum"].to(torch::kFloat32) /
                usage.clamp_min(kLeastUsage).unsqueeze(1);
  }
  return codebook_;
}

torch::Tensor QuantizerImpl::nearest(const torch::Tensor& vectors) const {
  std::vector<torch::Tensor> codes;
  for (int64_t done = 0; done < vectors.size(0); done += kNearestRows)
    codes.push_back(
        torch::cdist(vectors.slice(0, done, done + kNearestRows), codebook()).argmin(1));
  return codes.empty() ? torch::empty({0}, vectors.options().dtype(torch::kInt64))
                       : torch::cat(codes);
}

torch::Tensor QuantizerImpl::encode(const torch::Tensor& latent) const {
  const torch::Tensor x = latent.to(torch::kFloat32);
  const torch::Tensor semantic = nearest(x.narrow(1, 0, config_.semantic_dim));
  const torch::Tensor places = torch::tanh(x.narrow(1, config_.semantic_dim, config_.acoustic_dim));
  return torch::cat({semantic.unsqueeze(1), codes_at(places, config_.levels)}, 1);
}

torch::Tensor QuantizerImpl::decode(const torch::Tensor& codes) const {
  const torch::Tensor semantic = codebook().index_select(0, codes.select(-1, 0).flatten());
  std::vector<int64_t> shape = codes.sizes().vec();
  shape.back() = config_.semantic_dim;
  return torch::cat(
      {semantic.view(shape), values_of(codes.narrow(-1, 1, config_.acoustic_dim), config_.levels)},
      -1);
}

torch::Tensor pad_waves(const std::vector<torch::Tensor>& waves, int64_t patch,
                        torch::Device device) {
  int64_t longest = 0;
  for (const torch::Tensor& wave : waves) longest = std::max(longest, wave.size(0));
  torch::Tensor padded = torch::zeros({std::ssize(waves), ceil_div(longest, patch) * patch},
                                      torch::TensorOptions().device(device));
  for (size_t i = 0; i < waves.size(); ++i)
    padded[static_cast<int64_t>(i)].narrow(0, 0, waves[i].size(0)).copy_(waves[i]);
  return padded;
}

std::vector<torch::Tensor> Codec::encode(const std::vector<torch::Tensor>& waves,
                                         const StageProbe& probe) {
  const c10::InferenceMode inference;
  std::vector<int64_t> frames;
  for (const torch::Tensor& wave : waves) frames.push_back(config_.frames(wave.size(0)));
  std::vector<torch::Tensor> codes(waves.size());
  for (const std::vector<size_t>& batch : length_batches(frames, kBatchFrames)) {
    std::vector<torch::Tensor> rows;
    std::vector<int64_t> samples;
    for (const size_t i : batch) {
      rows.push_back(waves[i]);
      samples.push_back(waves[i].size(0));
    }
    const torch::Tensor latent =
        encoder(pad_waves(rows, config_.patch, device()), samples, probe).transpose(1, 2);
    const torch::Tensor found =
        quantizer->encode(latent.flatten(0, 1)).view({latent.size(0), latent.size(1), -1});
    for (size_t i = 0; i < batch.size(); ++i)
      codes[batch[i]] =
          found[static_cast<int64_t>(i)].narrow(0, 0, frames[batch[i]]).to(torch::kCPU).clone();
  }
  return codes;
}

std::vector<torch::Tensor> Codec::decode(const std::vector<torch::Tensor>& codes,
                                         const StageProbe& probe) {
  const c10::InferenceMode inference;
  const int64_t hop = config_.hop(), past = decoder->past_frames();
  std::vector<int64_t> frames;
  for (const torch::Tensor& row : codes) {
    check_codes(row, config_);
    frames.push_back(row.size(0));
  }
  std::vector<torch::Tensor> waves(codes.size());
  for (const std::vector<size_t>& batch : length_batches(frames, kBatchFrames)) {
    std::vector<torch::Tensor> rows, pieces;
    for (const size_t i : batch) rows.push_back(codes[i].to(device(), torch::kInt64));
    const torch::Tensor all = pad_rows(rows);  // [B, F, 37]
    for (int64_t done = 0; done < all.size(1); done += kPieceFrames) {
      const int64_t from = std::max<int64_t>(0, done - past);
      const torch::Tensor latent =
          quantizer->decode(all.slice(1, from, done + kPieceFrames)).transpose(1, 2);
      if (probe) probe("dec.quantized", latent);
      pieces.push_back(decoder(latent, probe).slice(1, (done - from) * hop).to(torch::kCPU));
    }
    const torch::Tensor spoken = torch::cat(pieces, 1);
    for (size_t i = 0; i < batch.size(); ++i)
      waves[batch[i]] =
          spoken[static_cast<int64_t>(i)].narrow(0, 0, frames[batch[i]] * hop).clone();
  }
  return waves;
}

bool is_encoder_tensor(std::string_view name) {
  return name.starts_with("audio_tokenizer.input_proj.") ||
         name.starts_with("audio_tokenizer.encoder_blocks.");
}

fs::path encoder_file(const fs::path& checkpoint) {
  if (fs::exists(checkpoint / kEncoderFile)) return checkpoint / kEncoderFile;
  if (!fs::exists(checkpoint / kWeightsFile)) return {};
  const auto weights = SafetensorsReader::open(checkpoint / kWeightsFile);
  const auto& tensors = weights.tensors();
  return std::any_of(tensors.begin(), tensors.end(),
                     [](const TensorView& view) { return is_encoder_tensor(view.name); })
             ? checkpoint / kWeightsFile
             : fs::path();
}

CodecEncoder load_encoder(const fs::path& file, const CodecConfig& config, torch::Device device) {
  CodecEncoder encoder(config);
  LoadOptions options{.device = device};
  for (const char* other : {"quantizer.", "decoder_blocks.", "output_proj."})
    options.skip[other] = "the codec's other half";
  load_strict(*encoder, fold_weight_norm(open_tensor_file(file), kCodecPrefix), options);
  for (torch::Tensor& parameter : encoder->parameters()) parameter.requires_grad_(false);
  encoder->eval();
  return encoder;
}

Codec load_codec(const fs::path& checkpoint, const CodecConfig& config, torch::Device device,
                 const fs::path& encoder) {
  const auto folded = fold_weight_norm(open_tensor_file(checkpoint / kWeightsFile), kCodecPrefix);
  LoadOptions options{.device = device};
  for (const char* other : {"input_proj.", "encoder_blocks."})
    options.skip[other] = "the codec's encoder";
  options.skip["quantizer."] = "the quantizer";
  CodecDecoder decoder(config);
  load_strict(*decoder, folded, options);
  Quantizer quantizer(config);
  load_strict(*quantizer, folded, {.device = device, .prefix = "quantizer."});
  quantizer->codebook();  // here, so that gradients may flow where it is loaded for them
  for (torch::Tensor& parameter : decoder->parameters()) parameter.requires_grad_(false);
  decoder->eval();
  const fs::path file = encoder.empty() ? encoder_file(checkpoint) : encoder;
  return Codec(config, quantizer, decoder,
               file.empty() ? CodecEncoder(nullptr) : load_encoder(file, config, device));
}

}  // namespace ttsft::voxtral
