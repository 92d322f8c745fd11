#include "models/qwen3_tts/codec_encoder.h"

#include "ttsft/core/error.h"
#include "ttsft/nn/weights.h"

namespace ttsft::qwen3_tts {

namespace {

constexpr int64_t kHalving = 2;  // 25 frames/s behind the transformer become 12.5

RvqOptions quantizer_options(const CodecEncoderConfig& config, int64_t levels) {
  return {.channels = config.hidden_size,
          .codebook_dim = config.codebook_dim,
          .codebook_size = config.codebook_size,
          .levels = levels,
          .input_proj = true};
}

StackOptions stack_options(const CodecEncoderConfig& config) {
  return {.block = {.hidden = config.hidden_size,
                    .intermediate = config.intermediate_size,
                    .heads = config.num_attention_heads,
                    .kv_heads = config.num_key_value_heads,
                    .head_dim = config.head_dim,
                    .norm_eps = config.norm_eps,
                    .norm = NormKind::kLayer,
                    .mlp = MlpKind::kGelu,
                    .layer_scale = true},
          .layers = config.num_hidden_layers,
          .rope_theta = config.rope_theta};
}

}  // namespace

SeanetEncoderImpl::SeanetEncoderImpl(const CodecEncoderConfig& config) {
  ModuleGroup layers;
  int64_t index = 0, width = config.num_filters;
  first_ = layers->add(
      index++, CausalConv1d(ConvOptions{.in = 1, .out = width, .kernel = config.kernel_size}));
  // The ratios are listed as the decoder of the pair would use them.
  for (auto ratio = config.upsampling_ratios.rbegin(); ratio != config.upsampling_ratios.rend();
       ++ratio) {
    Stage stage{.down = CausalConv1d(ConvOptions{
                    .in = width, .out = 2 * width, .kernel = 2 * *ratio, .stride = *ratio})};
    int64_t dilation = 1;
    for (int64_t j = 0; j < config.num_residual_layers; ++j) {
      const DacUnit unit(DacUnitOptions{.channels = width,
                                        .hidden = width / config.compress,
                                        .kernel = config.residual_kernel_size,
                                        .dilation = dilation,
                                        .activation = DacActivation::kElu});
      stage.units.emplace_back(index, layers->add(index, unit));
      dilation *= config.dilation_growth_rate;
      ++index;
    }
    stage.down_index = ++index;  // behind an activation
    layers->add(index++, stage.down);
    stages_.push_back(stage);
    width *= 2;
  }
  last_index_ = ++index;
  last_ = layers->add(
      last_index_, CausalConv1d(ConvOptions{
                       .in = width, .out = config.hidden_size, .kernel = config.last_kernel_size}));
  register_module("layers", layers);
}

torch::Tensor SeanetEncoderImpl::forward(const torch::Tensor& x, RowLengths& lengths,
                                         const StageProbe& probe) {
  const auto show = [&](int64_t index, const torch::Tensor& result) {
    if (probe) probe("conv" + std::to_string(index), result);
  };
  torch::Tensor h = first_->forward_rows(x, lengths);
  show(0, h);
  for (Stage& stage : stages_) {
    for (auto& [index, unit] : stage.units) {
      h = unit->forward_rows(h, lengths);
      show(index, h);
    }
    h = stage.down->forward_rows(torch::elu(h), lengths);
    show(stage.down_index, h);
  }
  h = last_->forward_rows(torch::elu(h), lengths);
  show(last_index_, h);
  return h;
}

CodecEncoderImpl::CodecEncoderImpl(const CodecConfig& config) {
  const CodecEncoderConfig& c = config.encoder;
  encoder = register_module("encoder", SeanetEncoder(c));
  encoder_transformer = register_module("encoder_transformer", DecoderStack(stack_options(c)));
  downsample = register_module("downsample", CausalConv1d(ConvOptions{.in = c.hidden_size,
                                                                      .out = c.hidden_size,
                                                                      .kernel = 2 * kHalving,
                                                                      .stride = kHalving,
                                                                      .bias = false},
                                                          EdgePadding::kReplicate));
  // Upstream computes every level and keeps the first ones; the others are not even loaded here.
  const int64_t semantic = c.num_semantic_quantizers;
  ModuleGroup quantizer;
  semantic_ = quantizer->add("semantic_residual_vector_quantizer",
                             ResidualQuantizer(quantizer_options(c, semantic)));
  acoustic_ = quantizer->add(
      "acoustic_residual_vector_quantizer",
      ResidualQuantizer(quantizer_options(c, config.encoder_valid_num_quantizers - semantic)));
  register_module("quantizer", quantizer);
}

torch::Tensor CodecEncoderImpl::features(const torch::Tensor& waves, RowLengths& lengths) {
  if (waves.dim() != 2 || static_cast<int64_t>(lengths.size()) != waves.size(0)) {
    throw std::logic_error("CodecEncoder: waves are not [rows, samples] with one length per row");
  }
  for (const int64_t length : lengths) {
    if (length < 1 || length > waves.size(1)) {
      throw DataError("cannot encode a clip of " + std::to_string(length) +
                      " samples in a batch of " + std::to_string(waves.size(1)));
    }
  }
  torch::Tensor x = waves.unsqueeze(1).clone();  // [B, 1, N]
  zero_beyond_(x, lengths);
  x = encoder(x, lengths, probe_);             // [B, C, T]
  x = encoder_transformer(x.transpose(1, 2));  // [B, T, C], causal: no mask needed
  if (probe_) probe_("tr_last", x);
  x = x.transpose(1, 2).contiguous();
  zero_beyond_(x, lengths);
  x = downsample->forward_rows(x, lengths);
  if (probe_) probe_("downsample", x);
  return x;
}

std::vector<torch::Tensor> CodecEncoderImpl::encode(const torch::Tensor& waves,
                                                    const std::vector<int64_t>& samples) {
  c10::InferenceMode guard;
  RowLengths frames = samples;
  const torch::Tensor x = features(waves, frames).transpose(1, 2);  // [B, F, C]
  std::vector<torch::Tensor> rows;
  for (size_t b = 0; b < frames.size(); ++b) rows.push_back(x[b].narrow(0, 0, frames[b]));
  const torch::Tensor flat = torch::cat(rows);  // the real frames only
  // The acoustic part starts from the features, not from what the semantic part left over.
  const torch::Tensor codes = torch::cat({semantic_->encode(flat), acoustic_->encode(flat)}, -1);
  return codes.split_with_sizes(frames);
}

std::map<std::string, std::string> CodecEncoderImpl::unused_tensors(const CodecConfig& config) {
  const std::string quantizer = "encoder.quantizer.";
  const int64_t semantic = config.encoder.num_semantic_quantizers;
  const int64_t kept[] = {semantic, config.encoder_valid_num_quantizers - semantic};
  const int64_t stored[] = {semantic, config.encoder.num_quantizers - semantic};
  const char* const parts[] = {"semantic_residual_vector_quantizer.",
                               "acoustic_residual_vector_quantizer."};
  std::map<std::string, std::string> unused;
  for (int part = 0; part < 2; ++part) {
    unused[quantizer + parts[part] + "output_proj."] = "for decoding, which has its own copy";
    for (int64_t level = 0; level < stored[part]; ++level) {
      const std::string layer = quantizer + parts[part] + "layers." + std::to_string(level) + ".";
      if (level < kept[part]) {
        unused[layer + "codebook.initialized"] = "a flag of training";
      } else {
        unused[layer] = "beyond encoder_valid_num_quantizers";
      }
    }
  }
  return unused;
}

CodecEncoder load_codec_encoder(const std::shared_ptr<const TensorFile>& file,
                                const CodecConfig& config, torch::Device device) {
  CodecEncoder encoder(config);
  load_strict(
      *encoder, file,
      {.device = device, .prefix = "encoder.", .skip = CodecEncoderImpl::unused_tensors(config)});
  encoder->eval();
  return encoder;
}

}  // namespace ttsft::qwen3_tts
