#include "ttsft/codec/onnx_encoders.h"

#include "ttsft/core/error.h"

namespace ttsft {
namespace {

constexpr double kNormEpsilon = 1e-5;

std::string replaced(std::string text, char from, char to) {
  for (char& c : text) {
    if (c == from) c = to;
  }
  return text;
}

// How many of "<prefix>0<suffix>", or from `first` on, the graph has in a row.
int64_t count_nodes(const OnnxFile& file, const std::string& prefix, const std::string& suffix,
                    int64_t first = 0) {
  int64_t count = 0;
  while (file.node(prefix + std::to_string(first + count) + suffix)) ++count;
  return count;
}

// The path of a module as the graph writes it: every part behind a slash.
std::string node_path(const std::string& module) {
  return "/" + replaced(module, '.', '/');
}

void add_head_block(OnnxWeights& weights, const std::string& layer, int64_t block) {
  const std::string index = std::to_string(block);
  const std::string module = "head." + layer + "." + index;
  const std::string node = "/head/" + layer + "/" + layer + "." + index;
  weights.conv(node + "/conv1/Conv", module + ".conv1", true);
  weights.conv(node + "/conv2/Conv", module + ".conv2", true);
  if (block == 0) weights.conv(node + "/shortcut/shortcut.0/Conv", module + ".shortcut.0", true);
}

void add_dense_layer(OnnxWeights& weights, const std::string& module) {
  const std::string node = node_path(module);
  weights.batch_norm(node + "/nonlinear1/batchnorm/BatchNormalization",
                     module + ".nonlinear1.batchnorm", true, kNormEpsilon);
  weights.conv(node + "/linear1/Conv", module + ".linear1", true);
  weights.conv(node + "/cam_layer/linear_local/Conv", module + ".cam_layer.linear_local", false);
  weights.conv(node + "/cam_layer/linear1/Conv", module + ".cam_layer.linear1", true);
  weights.conv(node + "/cam_layer/linear2/Conv", module + ".cam_layer.linear2", true);
}

}  // namespace

std::shared_ptr<const TensorFile> s3_tokenizer_weights(
    const std::shared_ptr<const OnnxFile>& file) {
  const int64_t layers = count_nodes(*file, "/blocks.", "/attn/query/MatMul");
  if (layers == 0)
    throw DataError("not a speech tokenizer: it has no blocks", file->path().string(),
                    "give the speech_tokenizer_v3.onnx of the release");
  OnnxWeights weights(file);
  weights.conv("/conv1/Conv", "encoder.conv1", true);
  weights.conv("/conv2/Conv", "encoder.conv2", true);
  for (int64_t i = 0; i < layers; ++i) {
    const std::string block = "blocks." + std::to_string(i);
    const std::string node = "/" + block, module = "encoder." + block;
    weights.layer_norm(node + "/attn_ln", module + ".attn_ln", kNormEpsilon);
    for (const char* part : {"query", "key", "value", "out"})
      weights.linear(node + "/attn/" + part, module + ".attn." + part, part != std::string("key"));
    weights.initializer(block + ".attn.fsmn_block.weight", module + ".attn.fsmn_block.weight");
    weights.layer_norm(node + "/mlp_ln", module + ".mlp_ln", kNormEpsilon);
    weights.linear(node + "/mlp/mlp.0", module + ".mlp.0", true);
    weights.linear(node + "/mlp/mlp.2", module + ".mlp.2", true);
  }
  weights.linear("/quantizer/project_in", "quantizer._codebook.project_down", true);
  return weights.finish();
}

std::shared_ptr<const TensorFile> campplus_weights(const std::shared_ptr<const OnnxFile>& file) {
  if (!file->node("/head/conv1/Conv"))
    throw DataError("not a CAM++ network: it has no /head/conv1/Conv", file->path().string(),
                    "give the campplus.onnx of the release");
  OnnxWeights weights(file);
  weights.conv("/head/conv1/Conv", "head.conv1", true);
  for (const std::string layer : {"layer1", "layer2"}) {
    const int64_t blocks = count_nodes(*file, "/head/" + layer + "/" + layer + ".", "/conv1/Conv");
    for (int64_t i = 0; i < blocks; ++i) add_head_block(weights, layer, i);
  }
  weights.conv("/head/conv2/Conv", "head.conv2", true);
  weights.conv("/xvector/tdnn/linear/Conv", "xvector.tdnn.linear", true);
  const int64_t blocks = count_nodes(*file, "/xvector/transit", "/linear/Conv", 1);
  for (int64_t b = 1; b <= blocks; ++b) {
    const std::string block = "xvector.block" + std::to_string(b) + ".tdnnd";
    const int64_t layers = count_nodes(*file, node_path(block), "/linear1/Conv", 1);
    for (int64_t n = 1; n <= layers; ++n) add_dense_layer(weights, block + std::to_string(n));
    const std::string transit = "xvector.transit" + std::to_string(b);
    weights.batch_norm(node_path(transit) + "/nonlinear/batchnorm/BatchNormalization",
                       transit + ".nonlinear.batchnorm", true, kNormEpsilon);
    // The last one has taken in the norm behind it.
    weights.conv(node_path(transit) + "/linear/Conv", transit + ".linear", b == blocks);
  }
  weights.conv("/xvector/dense/linear/Conv", "xvector.dense.linear", false);
  weights.batch_norm("/xvector/dense/nonlinear/batchnorm/BatchNormalization",
                     "xvector.dense.nonlinear.batchnorm", false, kNormEpsilon);
  return weights.finish();
}

}  // namespace ttsft
