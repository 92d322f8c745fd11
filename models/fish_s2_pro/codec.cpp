#include "models/fish_s2_pro/codec.h"

#include <algorithm>

#include "models/fish_s2_pro/blocks.h"
#include "models/fish_s2_pro/config.h"
#include "ttsft/codec/rvq.h"
#include "ttsft/core/error.h"
#include "ttsft/io/tensor_shapes.h"
#include "ttsft/io/torch_file.h"
#include "ttsft/nn/length_batches.h"
#include "ttsft/nn/weights.h"

namespace ttsft::fish_s2_pro {
namespace {

constexpr int64_t kEncoderWindow = 512, kQuantizerWindow = 128;  // of attention, in positions
constexpr double kNormEps = 1e-5, kRopeTheta = 10000;
constexpr int64_t kEdgeKernel = 7, kLatentKernel = 3;
constexpr int64_t kDilations[] = {1, 3, 9};
constexpr int64_t kBatchFrames = 1300;  // that run together: a minute
constexpr int64_t kPieceFrames = 256;   // that are decoded at once: 12 s

StackOptions stack_options(const CodecTransformer& t) {
  StackOptions options;
  options.layers = t.layers;
  options.rope_theta = kRopeTheta;
  options.rope_layout = RopeLayout::kInterleaved;
  options.rope_bf16_table = true;
  options.final_norm = "norm";
  BlockOptions& block = options.block;
  block.hidden = t.width;
  block.intermediate = t.ffn;
  block.head_dim = t.head_dim;
  block.heads = block.kv_heads = t.width / t.head_dim;
  block.norm_eps = kNormEps;
  block.layer_scale = true;
  block.window = t.window;
  block.names = block_names();
  return options;
}

CodecTransformer transformer_options(const TensorFile& codec, const std::string& prefix,
                                     int64_t head_dim, int64_t window) {
  CodecTransformer t;
  t.layers = count_tensors(codec, prefix + "layers.", ".attention.wo.weight");
  t.width = shape_of(codec, prefix + "norm.weight", 1)[0];
  t.ffn = shape_of(codec, prefix + "layers.0.feed_forward.w1.weight", 2)[0];
  t.head_dim = head_dim;
  t.window = window;
  if (t.width % head_dim != 0)
    throw DataError("a transformer of " + std::to_string(t.width) + " channels in heads of " +
                        std::to_string(head_dim),
                    codec.path().string(), "ttsft_dims.json says how wide they are");
  return t;
}

// [B, C, T]
torch::Tensor run(DecoderStack& stack, const torch::Tensor& x, KvCache* past = nullptr) {
  return stack->forward(x.transpose(1, 2), {}, {}, past).transpose(1, 2);
}

}  // namespace

int64_t CodecOptions::hop() const {
  int64_t hop = int64_t{1} << halvings;
  for (const int64_t stride : down) hop *= stride;
  return hop;
}

CodecOptions codec_options(const TensorFile& codec, int64_t encoder_head_dim,
                           int64_t quantizer_head_dim) {
  CodecOptions o;
  o.encoder_width = shape_of(codec, "encoder.block.0.conv.weight", 3)[0];
  const int64_t stages =
      count_tensors(codec, "encoder.block.", ".block.4.conv.weight", /*first=*/1);
  for (int64_t i = 1; i <= stages; ++i)
    o.down.push_back(
        shape_of(codec, "encoder.block." + std::to_string(i) + ".block.4.conv.weight", 3)[2] / 2);
  o.latent = o.encoder_width << stages;
  o.decoder_width = shape_of(codec, "decoder.model.0.conv.weight", 3)[0];
  const int64_t ups = count_tensors(codec, "decoder.model.", ".block.1.conv.weight", /*first=*/1);
  for (int64_t i = 1; i <= ups; ++i)
    o.up.push_back(
        shape_of(codec, "decoder.model." + std::to_string(i) + ".block.1.conv.weight", 3)[2] / 2);
  o.halvings = count_tensors(codec, "quantizer.downsample.", ".0.conv.weight");
  const auto table = [&](const std::string& level) {
    const Shape& shape = shape_of(codec, level + ".codebook.weight", 2);
    o.code_dim = shape[1];
    o.codebooks.push_back(shape[0]);
  };
  table("quantizer.semantic_quantizer.quantizers.0");
  const int64_t residual =
      count_tensors(codec, "quantizer.quantizer.quantizers.", ".codebook.weight");
  for (int64_t i = 0; i < residual; ++i)
    table("quantizer.quantizer.quantizers." + std::to_string(i));
  o.encoder = transformer_options(codec, "encoder.block." + std::to_string(stages) + ".block.5.",
                                  encoder_head_dim, kEncoderWindow);
  o.pre = transformer_options(codec, "quantizer.pre_module.", quantizer_head_dim, kQuantizerWindow);
  o.post =
      transformer_options(codec, "quantizer.post_module.", quantizer_head_dim, kQuantizerWindow);
  return o;
}

CodebookImpl::CodebookImpl(int64_t width, int64_t dim, int64_t entries) {
  in_proj = register_module("in_proj", Conv1d(ConvOptions{.in = width, .out = dim}));
  out_proj = register_module("out_proj", Conv1d(ConvOptions{.in = dim, .out = width}));
  ModuleGroup codebook;
  table_ = codebook->register_parameter("weight", torch::empty({entries, dim}), false);
  register_module("codebook", codebook);
}

torch::Tensor CodebookImpl::encode(const torch::Tensor& x) {
  namespace F = torch::nn::functional;
  const torch::Tensor v = torch::linear(x, in_proj->weight.squeeze(-1), in_proj->bias);
  const torch::Tensor rows = F::normalize(table_, F::NormalizeFuncOptions().dim(1));
  return nearest_rows(F::normalize(v, F::NormalizeFuncOptions().dim(1)), rows, row_norms(rows));
}

torch::Tensor CodebookImpl::decode(const torch::Tensor& codes) {
  const torch::Tensor rows = torch::embedding(table_, codes.clamp_max(table_.size(0) - 1));
  return torch::linear(rows, out_proj->weight.squeeze(-1), out_proj->bias);
}

QuantizerImpl::QuantizerImpl(const CodecOptions& o) {
  ModuleGroup downsample, upsample;
  for (int64_t i = 0; i < o.halvings; ++i) {
    const ConvOptions conv{.in = o.latent, .out = o.latent, .kernel = 2, .stride = 2};
    const ConvNeXtOptions mix{.channels = o.latent};
    auto down = downsample->add(i, ModuleGroup());
    downsample_.emplace_back(down->add(0, CausalConv1d(conv)), down->add(1, ConvNeXt(mix)));
    auto up = upsample->add(i, ModuleGroup());
    upsample_.emplace_back(up->add(0, CausalConvTranspose1d(conv)), up->add(1, ConvNeXt(mix)));
  }
  register_module("downsample", downsample);
  register_module("upsample", upsample);
  pre_module = register_module("pre_module", DecoderStack(stack_options(o.pre)));
  post_module = register_module("post_module", DecoderStack(stack_options(o.post)));
  auto semantic = register_module("semantic_quantizer", ModuleGroup());
  auto residual = register_module("quantizer", ModuleGroup());
  auto first = semantic->add("quantizers", ModuleGroup());
  auto rest = residual->add("quantizers", ModuleGroup());
  for (int64_t i = 0; i < o.levels(); ++i)
    levels_.push_back(
        (i == 0 ? first : rest)
            ->add(std::max<int64_t>(i - 1, 0),
                  Codebook(o.latent, o.code_dim, o.codebooks[static_cast<size_t>(i)])));
}

torch::Tensor QuantizerImpl::encode(const torch::Tensor& given, const StageProbe& probe) {
  torch::Tensor x = given;
  for (size_t i = 0; i < downsample_.size(); ++i) {
    auto& [down, mix] = downsample_[i];
    x = mix(down(x));
    if (probe)
      probe(i + 1 < downsample_.size() ? "downsample" + std::to_string(i) : "downsample", x);
  }
  x = run(pre_module, x);
  if (probe) probe("pre_module", x);
  const int64_t rows = x.size(0), frames = x.size(2);
  torch::Tensor rest = x.transpose(1, 2).flatten(0, 1);  // [B F, latent]
  std::vector<torch::Tensor> codes;
  for (Codebook& level : levels_) {
    codes.push_back(level->encode(rest));
    if (codes.size() < levels_.size()) rest = rest - level->decode(codes.back());
  }
  return torch::stack(codes, 1).view({rows, frames, -1});
}

KvCache QuantizerImpl::make_cache(int64_t rows) const {
  return post_module->make_cache(rows, kPieceFrames, parameters().front().options());
}

torch::Tensor QuantizerImpl::decode(const torch::Tensor& codes, CodecPast& past,
                                    const StageProbe& probe) {
  torch::Tensor x;
  for (size_t i = 0; i < levels_.size(); ++i) {
    const torch::Tensor part = levels_[i]->decode(codes.select(2, static_cast<int64_t>(i)));
    x = i == 0 ? part : x + part;
  }
  x = x.transpose(1, 2);  // [B, latent, F]
  if (probe) probe("z_q", x);
  x = run(post_module, x, &past.keys);
  if (probe) probe("post_module", x);
  for (size_t i = 0; i < upsample_.size(); ++i) {
    auto& [up, mix] = upsample_[i];
    x = mix(up(x, &past.convolutions), &past.convolutions);
    if (probe) probe(i + 1 < upsample_.size() ? "upsample." + std::to_string(i) : "upsample", x);
  }
  return x;
}

EncoderImpl::EncoderImpl(const CodecOptions& o) {
  auto blocks = register_module("block", ModuleGroup());
  int64_t width = o.encoder_width, index = 0;
  first_ =
      blocks->add(index, CausalConv1d(ConvOptions{.in = 1, .out = width, .kernel = kEdgeKernel}));
  for (const int64_t stride : o.down) {
    auto block = blocks->add(++index, ModuleGroup())->add("block", ModuleGroup());
    Stage stage;
    int64_t place = 0;
    for (const int64_t dilation : kDilations)
      stage.units.push_back(
          block->add(place++, DacUnit(DacUnitOptions{.channels = width, .dilation = dilation})));
    stage.snake = block->add(place++, Snake(width, /*with_axes=*/true));
    stage.down = block->add(
        place++, CausalConv1d(ConvOptions{
                     .in = width, .out = 2 * width, .kernel = 2 * stride, .stride = stride}));
    width *= 2;
    if (std::cmp_equal(index, o.down.size()))
      transformer_ = block->add(place, DecoderStack(stack_options(o.encoder)));
    stages_.push_back(stage);
  }
  snake_ = blocks->add(++index, Snake(width, true));
  last_ = blocks->add(
      ++index, CausalConv1d(ConvOptions{.in = width, .out = o.latent, .kernel = kLatentKernel}));
}

torch::Tensor EncoderImpl::forward(const torch::Tensor& wave, const StageProbe& probe) {
  torch::Tensor x = first_(wave);
  if (probe) probe("enc.0", x);
  for (size_t i = 0; i < stages_.size(); ++i) {
    for (DacUnit& unit : stages_[i].units) x = unit(x);
    x = stages_[i].down(stages_[i].snake(x));
    const std::string name = "enc." + std::to_string(i + 1);
    if (i + 1 == stages_.size()) {
      if (probe) probe(name + ".conv", x);
      x = run(transformer_, x);
    }
    if (probe) probe(name, x);
  }
  x = last_(snake_(x));
  if (probe) probe("enc.6", x);
  return x;
}

DecoderImpl::DecoderImpl(const CodecOptions& o) {
  auto model = register_module("model", ModuleGroup());
  int64_t width = o.decoder_width, index = 0;
  first_ = model->add(
      index, CausalConv1d(ConvOptions{.in = o.latent, .out = width, .kernel = kEdgeKernel}));
  DacUpBlockOptions block;
  for (const int64_t rate : o.up) {
    block.in = width;
    block.out = width / 2;
    block.rate = rate;
    blocks_.push_back(model->add(++index, DacUpBlock(block)));
    width /= 2;
  }
  snake_ = model->add(++index, Snake(width, /*with_axes=*/true));
  last_ =
      model->add(++index, CausalConv1d(ConvOptions{.in = width, .out = 1, .kernel = kEdgeKernel}));
}

torch::Tensor DecoderImpl::forward(const torch::Tensor& given, ConvStream& past,
                                   const StageProbe& probe) {
  torch::Tensor x = first_(given, &past);
  if (probe) probe("decoder.0", x);
  for (size_t i = 0; i < blocks_.size(); ++i) {
    x = blocks_[i](x, &past);
    if (probe) probe("decoder." + std::to_string(i + 1), x);
  }
  return torch::tanh(last_(snake_(x), &past)).squeeze(1);
}

CodecImpl::CodecImpl(const CodecOptions& options) : options_(options) {
  encoder = register_module("encoder", Encoder(options));
  quantizer = register_module("quantizer", Quantizer(options));
  decoder = register_module("decoder", Decoder(options));
}

std::vector<torch::Tensor> CodecImpl::encode(const std::vector<torch::Tensor>& waves,
                                             const StageProbe& probe) {
  const c10::InferenceMode inference;
  const torch::Device device = parameters().front().device();
  const int64_t hop = options_.hop();
  std::vector<int64_t> frames;
  for (const torch::Tensor& wave : waves) frames.push_back((wave.size(0) + hop - 1) / hop);
  std::vector<torch::Tensor> codes(waves.size());
  for (const std::vector<size_t>& batch : length_batches(frames, kBatchFrames)) {
    const int64_t longest = frames[batch.front()];
    torch::Tensor x =
        torch::zeros({std::ssize(batch), 1, longest * hop}, torch::TensorOptions().device(device));
    for (size_t i = 0; i < batch.size(); ++i) {
      const torch::Tensor& wave = waves[batch[i]];
      x[static_cast<int64_t>(i)][0].narrow(0, 0, wave.size(0)).copy_(wave);
    }
    const torch::Tensor found = quantizer->encode(encoder(x, probe), probe).to(torch::kCPU);
    for (size_t i = 0; i < batch.size(); ++i)
      codes[batch[i]] = found[static_cast<int64_t>(i)].narrow(0, 0, frames[batch[i]]).clone();
  }
  return codes;
}

void CodecImpl::check(const torch::Tensor& codes) const {
  if (codes.dim() != 2 || codes.size(1) != options_.levels())
    throw DataError("codes of the shape " + shape_text(codes.sizes().vec()), "",
                    "give [frames, " + std::to_string(options_.levels()) + "]");
  if (codes.numel() > 0 && (codes.min().item<int64_t>() < 0 ||
                            codes.max().item<int64_t>() >= options_.codebooks.front()))
    throw DataError("codes lie outside the codebook", "",
                    "give codes from 0 to " + std::to_string(options_.codebooks.front() - 1));
}

CodecPast CodecImpl::make_past(int64_t rows) const {
  return {ConvStream(), quantizer->make_cache(rows)};
}

torch::Tensor CodecImpl::decode_more(const torch::Tensor& codes, CodecPast& past,
                                     const StageProbe& probe) {
  const c10::InferenceMode inference;
  past.convolutions.next_piece();
  const torch::Tensor x = quantizer->decode(codes, past, probe);
  return decoder(x, past.convolutions, probe);
}

std::vector<torch::Tensor> CodecImpl::decode(const std::vector<torch::Tensor>& codes,
                                             const StageProbe& probe) {
  const c10::InferenceMode inference;
  const torch::Device device = parameters().front().device();
  std::vector<int64_t> frames;
  for (const torch::Tensor& row : codes) {
    check(row);
    frames.push_back(row.size(0));
  }
  std::vector<torch::Tensor> waves(codes.size());
  for (const std::vector<size_t>& batch : length_batches(frames, kBatchFrames)) {
    std::vector<torch::Tensor> rows, pieces;
    for (const size_t i : batch) rows.push_back(codes[i].to(device, torch::kInt64));
    const torch::Tensor all = pad_rows(rows);  // [B, F, levels]
    CodecPast past = make_past(all.size(0));
    for (int64_t done = 0; done < all.size(1); done += kPieceFrames)
      pieces.push_back(
          decode_more(all.slice(1, done, done + kPieceFrames), past, probe).to(torch::kCPU));
    const torch::Tensor spoken = torch::cat(pieces, 1);
    for (size_t i = 0; i < batch.size(); ++i)
      waves[batch[i]] =
          spoken[static_cast<int64_t>(i)].narrow(0, 0, frames[batch[i]] * options_.hop()).clone();
  }
  return waves;
}

Codec load_codec(const std::filesystem::path& checkpoint, torch::Device device) {
  const auto file = open_tensor_file(checkpoint / kCodecFile);
  std::string prefix;
  for (const char* known : {"generator.", "state_dict.", "state_dict.generator."}) {
    if (file->find(std::string(known) + "encoder.block.0.conv.bias")) prefix = known;
  }
  const auto folded = fold_weight_norm(file, prefix);
  const CodecHeads heads = read_codec_heads(checkpoint);
  Codec codec(codec_options(*folded, heads.encoder, heads.quantizer));
  const std::string last_stage = "encoder.block." + std::to_string(codec->options().down.size());
  const char* buffer = "a table that upstream leaves in its file";
  LoadOptions options{.device = device};
  for (const std::string& stack : {last_stage + ".block.5.", std::string("quantizer.pre_module."),
                                   std::string("quantizer.post_module.")}) {
    options.skip[stack + "freqs_cis"] = buffer;
    options.skip[stack + "causal_mask"] = buffer;
  }
  load_strict(*codec, folded, options);
  codec->eval();
  return codec;
}

}  // namespace ttsft::fish_s2_pro
