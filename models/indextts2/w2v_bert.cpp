#include "models/indextts2/w2v_bert.h"

#include <cmath>

#include "ttsft/core/error.h"
#include "ttsft/io/json_reader.h"
#include "ttsft/io/torch_file.h"
#include "ttsft/nn/length_batches.h"
#include "ttsft/nn/weights.h"

namespace ttsft::indextts2 {
namespace {

namespace fs = std::filesystem;

constexpr double kVarianceFloor = 1e-7;  // of the energies' normalisation

// Positions that one batch may hold; the distances need rows x heads x T^2 numbers.
constexpr int64_t kBatchPositions = 3000;

constexpr const char* kHeadPrefix = "wav2vec2_bert.";  // of checkpoints that carry a task's head

FbankOptions fbank_options(const W2vBertConfig& config) {
  FbankOptions options;
  options.bins = config.mels;
  options.scale = 32768;
  options.in_double = true;
  return options;
}

torch::Tensor pointwise(const Conv1d& conv, const torch::Tensor& x) {
  return torch::linear(x, conv->weight.squeeze(-1));
}

}  // namespace

W2vBertConfig read_w2v_bert_config(const fs::path& folder) {
  const fs::path file = folder / "config.json";
  const nlohmann::ordered_json json = read_json_object(file);
  const JsonReader reader(json, file.string());
  reader.require("position_embeddings_type", "relative_key");
  reader.require("hidden_act", "swish");
  W2vBertConfig config;
  config.hidden = reader.positive("hidden_size");
  config.layers = reader.positive("num_hidden_layers");
  config.heads = reader.positive("num_attention_heads");
  config.ffn = reader.positive("intermediate_size");
  config.features = reader.positive("feature_projection_input_dim");
  reader.optional("left_max_position_embeddings", config.left);
  reader.optional("right_max_position_embeddings", config.right);
  reader.optional("conv_depthwise_kernel_size", config.conv_kernel);
  reader.optional("layer_norm_eps", config.norm_eps);
  if (config.layers < kSpeechLayers)
    reader.fail("num_hidden_layers", "is " + std::to_string(config.layers) +
                                         ", the features are those of layer " +
                                         std::to_string(kSpeechLayers));
  if (config.hidden % config.heads != 0)
    reader.fail("num_attention_heads", "does not divide hidden_size");

  const fs::path extractor = folder / "preprocessor_config.json";
  if (fs::exists(extractor)) {
    const nlohmann::ordered_json features = read_json_object(extractor);
    const JsonReader values(features, extractor.string());
    values.require("sampling_rate", 16000);
    values.optional("num_mel_bins", config.mels);
    values.optional("stride", config.stride);
    values.optional("padding_value", config.padding_value);
  }
  if (config.mels * config.stride != config.features)
    reader.fail("feature_projection_input_dim", "is not " + std::to_string(config.stride) +
                                                    " frames of " + std::to_string(config.mels) +
                                                    " bands");
  return config;
}

W2vFeedForwardImpl::W2vFeedForwardImpl(const W2vBertConfig& config) {
  intermediate_dense =
      register_module("intermediate_dense", Linear(config.hidden, config.ffn, true));
  output_dense = register_module("output_dense", Linear(config.ffn, config.hidden, true));
}

torch::Tensor W2vFeedForwardImpl::forward(const torch::Tensor& x) {
  return output_dense(torch::silu(intermediate_dense(x)));
}

W2vAttentionImpl::W2vAttentionImpl(const W2vBertConfig& config) : heads_(config.heads) {
  const int64_t d = config.hidden;
  linear_q = register_module("linear_q", Linear(d, d, true));
  linear_k = register_module("linear_k", Linear(d, d, true));
  linear_v = register_module("linear_v", Linear(d, d, true));
  linear_out = register_module("linear_out", Linear(d, d, true));
  distance_embedding = register_module("distance_embedding",
                                       Embedding(config.left + config.right + 1, d / config.heads));
}

torch::Tensor W2vAttentionImpl::forward(const torch::Tensor& x, const W2vPositions& positions) {
  const auto heads = [&](const torch::Tensor& y) {
    return y.unflatten(-1, {heads_, -1}).transpose(1, 2);  // [B, H, T, d]
  };
  const torch::Tensor q = heads(linear_q(x)), k = heads(linear_k(x)), v = heads(linear_v(x));
  // q . E of each of the few distances first, then spread to the keys.
  const torch::Tensor by_distance =
      torch::matmul(q, distance_embedding->weight.t())
          .mul_(1 / std::sqrt(static_cast<double>(q.size(-1))));  // [B, H, T, distances]
  const auto& index = positions.distances;
  torch::Tensor bias =
      by_distance.gather(-1, index.expand({q.size(0), heads_, index.size(0), index.size(1)}));
  if (positions.hidden.defined()) bias.masked_fill_(positions.hidden, -INFINITY);
  const torch::Tensor y = torch::scaled_dot_product_attention(q, k, v, bias);
  return linear_out(y.transpose(1, 2).flatten(2));
}

W2vConvImpl::W2vConvImpl(const W2vBertConfig& config) {
  const int64_t d = config.hidden;
  const auto conv = [&](int64_t out, int64_t kernel, int64_t groups) {
    return Conv1d(
        ConvOptions{.in = d, .out = out, .kernel = kernel, .groups = groups, .bias = false});
  };
  layer_norm = register_module("layer_norm", LayerNorm(d, config.norm_eps));
  pointwise_conv1 = register_module("pointwise_conv1", conv(2 * d, 1, 1));
  depthwise_conv = register_module("depthwise_conv", conv(d, config.conv_kernel, d));
  depthwise_layer_norm = register_module("depthwise_layer_norm", LayerNorm(d, config.norm_eps));
  pointwise_conv2 = register_module("pointwise_conv2", conv(d, 1, 1));
}

torch::Tensor W2vConvImpl::forward(const torch::Tensor& x, const W2vPositions& positions) {
  torch::Tensor h = layer_norm(x);
  if (positions.real.defined()) h = h * positions.real;
  h = torch::glu(pointwise(pointwise_conv1, h), -1).transpose(1, 2);
  h = depthwise_conv(torch::constant_pad_nd(h, {depthwise_conv->options().kernel - 1, 0}));
  h = torch::silu(depthwise_layer_norm(h.transpose(1, 2)));
  return pointwise(pointwise_conv2, h);
}

W2vLayerImpl::W2vLayerImpl(const W2vBertConfig& config) {
  const auto norm = [&](const std::string& name) {
    return register_module(name, LayerNorm(config.hidden, config.norm_eps));
  };
  ffn1_layer_norm = norm("ffn1_layer_norm");
  ffn1 = register_module("ffn1", W2vFeedForward(config));
  self_attn_layer_norm = norm("self_attn_layer_norm");
  self_attn = register_module("self_attn", W2vAttention(config));
  conv_module = register_module("conv_module", W2vConv(config));
  ffn2_layer_norm = norm("ffn2_layer_norm");
  ffn2 = register_module("ffn2", W2vFeedForward(config));
  final_layer_norm = norm("final_layer_norm");
}

torch::Tensor W2vLayerImpl::forward(const torch::Tensor& x, const W2vPositions& positions) {
  torch::Tensor h = torch::add(x, ffn1(ffn1_layer_norm(x)), 0.5);
  h = h + self_attn(self_attn_layer_norm(h), positions);
  h = h + conv_module(h, positions);
  h = torch::add(h, ffn2(ffn2_layer_norm(h)), 0.5);
  return final_layer_norm(h);
}

W2vBertImpl::W2vBertImpl(const W2vBertConfig& config) : config_(config) {
  ModuleGroup projection, encoder, layers;
  layer_norm_ = projection->add("layer_norm", LayerNorm(config.features, config.norm_eps));
  projection_ = projection->add("projection", Linear(config.features, config.hidden, true));
  register_module("feature_projection", projection);
  for (int64_t i = 0; i < kSpeechLayers; ++i) layers_.push_back(layers->add(i, W2vLayer(config)));
  encoder->add("layers", layers);
  register_module("encoder", encoder);
}

torch::Tensor W2vBertImpl::forward(const torch::Tensor& features, const RowLengths& valid) {
  if (features.dim() != 3 || features.size(2) != config_.features ||
      std::ssize(valid) != features.size(0)) {
    throw std::logic_error("W2vBert: the features are not [rows, T, " +
                           std::to_string(config_.features) + "] with one length per row");
  }
  const auto show = [&](const std::string& stage, const torch::Tensor& x) {
    if (probe_) probe_(stage, x);
  };
  torch::Tensor x = projection_(layer_norm_(features));
  show("feature_projection", x);
  const int64_t time = x.size(1);
  const torch::Tensor place =
      torch::arange(time, torch::TensorOptions().dtype(torch::kInt64).device(x.device()));
  W2vPositions positions;
  positions.distances = (place.unsqueeze(0) - place.unsqueeze(1))
                            .clamp_(-config_.left, config_.right)
                            .add_(config_.left);
  if (const torch::Tensor real = real_frames(valid, time, x.device()); real.defined()) {
    positions.hidden = real.logical_not().unsqueeze(1).unsqueeze(1);
    positions.real = real.unsqueeze(-1).to(x.scalar_type());
    x = x * positions.real;
  }
  show("hidden_states_0", x);
  for (size_t i = 0; i < layers_.size(); ++i) {
    x = layers_[i](x, positions);
    show("hidden_states_" + std::to_string(i + 1), x);
  }
  return x;
}

SpeechEncoder::SpeechEncoder(const fs::path& folder, const fs::path& stats, torch::Device device)
    : config_(read_w2v_bert_config(folder)),
      device_(device),
      network_(config_),
      fbank_(fbank_options(config_), device) {
  const auto file = open_tensor_file(folder / "model.safetensors");
  LoadOptions options{.device = device};
  if (file->find(std::string(kHeadPrefix) + "feature_projection.projection.weight"))
    options.prefix = kHeadPrefix;
  options.skip[options.prefix + "masked_spec_embed"] = "for training";
  for (int64_t i = kSpeechLayers; i < config_.layers; ++i)
    options.skip[options.prefix + "encoder.layers." + std::to_string(i) + "."] = "not heard";
  load_strict(*network_, file, options);
  network_->eval();

  const auto moments = open_tensor_file(stats);
  const auto vector = [&](const char* name) {
    const torch::Tensor values = copy_tensor(moments->at(name)).to(torch::kFloat32).flatten();
    if (values.numel() != config_.hidden)
      throw DataError(std::string(name) + " has " + std::to_string(values.numel()) +
                          " values, w2v-BERT " + std::to_string(config_.hidden),
                      stats.string(), "take both from one release");
    return values.to(device);
  };
  mean_ = vector("mean");
  deviation_ = vector("var").sqrt();
}

SpeechFeatures SpeechEncoder::input(const torch::Tensor& wave) const {
  c10::InferenceMode guard;
  if (wave.dim() != 1) throw std::logic_error("SpeechEncoder: a wave is not [N]");
  if (const int64_t least = fbank_.options().window + fbank_.options().hop; wave.size(0) < least) {
    throw DataError("audio is too short for w2v-BERT: " + std::to_string(wave.size(0)) + " samples",
                    "", "give at least a second of speech");
  }
  torch::Tensor x = fbank_(wave.to(device_));  // [n, mels]
  const auto [variance, mean] = torch::var_mean(x, {0}, /*correction=*/1, /*keepdim=*/true);
  x = (x - mean) / (variance + kVarianceFloor).sqrt();
  const int64_t frames = x.size(0),
                missing = (config_.stride - frames % config_.stride) % config_.stride;
  if (missing > 0) x = torch::constant_pad_nd(x, {0, 0, 0, missing}, config_.padding_value);
  return {x.reshape({-1, config_.features}), frames / config_.stride};
}

std::vector<SpeechFeatures> SpeechEncoder::encode(const std::vector<torch::Tensor>& waves) {
  c10::InferenceMode guard;
  std::vector<SpeechFeatures> all;
  std::vector<int64_t> sizes;
  for (const torch::Tensor& wave : waves) {
    all.push_back(input(wave));
    sizes.push_back(all.back().frames.size(0));
  }
  for (const std::vector<size_t>& batch : length_batches(sizes, kBatchPositions)) {
    std::vector<torch::Tensor> rows;
    RowLengths valid;
    for (const size_t i : batch) {
      rows.push_back(all[i].frames);
      valid.push_back(all[i].valid);
    }
    const torch::Tensor hidden = (network_(pad_rows(rows), valid) - mean_) / deviation_;
    for (size_t row = 0; row < batch.size(); ++row) {
      const size_t i = batch[row];
      all[i].frames = hidden[static_cast<int64_t>(row)].narrow(0, 0, sizes[i]).clone();
    }
  }
  return all;
}

}  // namespace ttsft::indextts2
