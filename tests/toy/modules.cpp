#include "tests/toy/modules.h"

#include "ttsft/io/torch_file.h"
#include "ttsft/nn/weights.h"

namespace ttsft::toy {
namespace {

StackOptions stack_options(int64_t layers) {
  StackOptions options;
  options.layers = layers;
  options.block = {
      .hidden = kWidth, .intermediate = 2 * kWidth, .heads = 4, .kv_heads = 2, .head_dim = 12};
  return options;
}

Linear head_of(int64_t out) {
  return Linear(LinearOptions{kWidth, out, false, LinearLayout::kOutIn, LinearRole::kHead});
}

template <class Module>
Module load(const std::filesystem::path& file, torch::Device device, torch::Dtype dtype) {
  Module module;
  LoadOptions options;
  options.device = device;
  options.dtype = dtype;
  load_strict(*module, open_tensor_file(file), options);
  return module;
}

}  // namespace

LmImpl::LmImpl() {
  text_emb = register_module("text_emb", Embedding(kTextIds, kWidth));
  torch::nn::ModuleList tables, heads;
  for (int64_t level = 0; level < kLevels; ++level) {
    code_emb.emplace_back(kCodes, kWidth);
    tables->push_back(code_emb.back());
    if (level == 0) continue;
    level_head.push_back(head_of(kCodes));
    heads->push_back(level_head.back());
  }
  register_module("code_emb", tables);
  register_module("level_head", heads);
  layers = register_module("layers", DecoderStack(stack_options(2)));
  depth = register_module("depth", DecoderStack(stack_options(1)));
  norm = register_module("norm", RmsNorm(kWidth, 1e-6));
  depth_norm = register_module("depth_norm", RmsNorm(kWidth, 1e-6));
  head = register_module("head", head_of(kCodes + 1));
}

torch::Tensor LmImpl::frames(const torch::Tensor& codes) {
  torch::Tensor sum = code_emb[0](codes.select(1, 0));
  for (size_t level = 1; level < code_emb.size(); ++level)
    sum = sum + code_emb[level](codes.select(1, static_cast<int64_t>(level)));
  return sum;
}

torch::Tensor LmImpl::predictor_hidden(const torch::Tensor& states, const torch::Tensor& codes) {
  std::vector<torch::Tensor> inputs = {states};  // the last code is a target only
  for (int64_t level = 0; level + 1 < kLevels; ++level)
    inputs.push_back(code_emb[static_cast<size_t>(level)](codes.select(1, level)));
  return depth_norm(depth(torch::stack(inputs, 1)).narrow(1, 1, kLevels - 1));
}

FlowImpl::FlowImpl() {
  torch::nn::ModuleList tables;
  for (int64_t level = 0; level < kLevels; ++level) {
    code_emb.emplace_back(kCodes, kWidth);
    tables->push_back(code_emb.back());
  }
  register_module("code_emb", tables);
  in = register_module("in", Linear(kMel + 1, kWidth, true));
  hidden = register_module("hidden", Linear(kWidth, kWidth, true));
  out = register_module("out", Linear(kWidth, kMel, true));
}

torch::Tensor FlowImpl::velocity(const torch::Tensor& x, const torch::Tensor& time,
                                 const torch::Tensor& codes) {
  torch::Tensor h = in(torch::cat({x, time}, 1));
  for (size_t level = 0; level < code_emb.size(); ++level)
    h = h + code_emb[level](codes.select(1, static_cast<int64_t>(level)));
  return out(torch::silu(hidden(torch::silu(h))));
}

torch::Tensor mel_of(const torch::Tensor& codes) {
  const torch::Tensor c = codes.to(torch::kFloat32);
  const torch::Tensor phase = 0.7 * c.select(1, 0) + 0.3 * c.select(1, 1) - 0.2 * c.select(1, 2);
  return torch::sin(phase.unsqueeze(1) * torch::arange(1, kMel + 1, c.options()));
}

Lm load_lm(const std::filesystem::path& folder, torch::Device device, torch::Dtype dtype) {
  return load<Lm>(folder / kLmFile, device, dtype);
}

Flow load_flow(const std::filesystem::path& folder, torch::Device device, torch::Dtype dtype) {
  return load<Flow>(folder / kFlowFile, device, dtype);
}

}  // namespace ttsft::toy
