// The weights of an ONNX model, without running it. Format: onnx/onnx.proto.
//
// An exporter keeps the names of some parameters, numbers others anew with each export, stores
// linears transposed and folds norms into the convolutions in front of them. What stays is the name
// of each node, which is the path of the module that it came from: weights are found through the
// nodes that use them.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ttsft/io/mapped_file.h"
#include "ttsft/io/tensor_file.h"

namespace ttsft {

struct OnnxNode {
  std::string name, op;  // "/blocks.0/attn/query/MatMul", "MatMul"
  std::vector<std::string> inputs;
  std::map<std::string, double> numbers;  // attributes that are one number
};

// As a TensorFile it lists the initializers, and the outputs of Constant nodes, by the names that
// nodes call them.
class OnnxFile : public TensorFile {
 public:
  // DataError: no ONNX model, truncated, weights in a file of their own, types that are not known.
  static std::shared_ptr<const OnnxFile> open(const std::filesystem::path& file);

  const std::map<std::string, OnnxNode>& nodes() const { return nodes_; }
  const OnnxNode* node(const std::string& name) const;  // nullptr when absent

 private:
  void add(const std::string& name, std::span<const std::byte> message);  // "": its own name
  void add_node(std::span<const std::byte> message);

  std::map<std::string, OnnxNode> nodes_;
  std::shared_ptr<const MappedFile> file_;                     // what the views look into,
  std::vector<std::unique_ptr<std::vector<std::byte>>> made_;  // and what had to be copied
};

// Gathers weights under the names of a module of ours. What is asked for and not there is listed,
// all at once, by finish().
class OnnxWeights {
 public:
  explicit OnnxWeights(std::shared_ptr<const OnnxFile> file);

  // node: a Conv. <module>.weight as it lies, and <module>.bias where with_bias.
  void conv(const std::string& node, const std::string& module, bool with_bias);
  // node: without its last part. <node>/MatMul, transposed, and <node>/Add where with_bias.
  void linear(const std::string& node, const std::string& module, bool with_bias);
  // node: without its last part: a LayerNormalization, or its parts (Mul, Add_1). Its epsilon must
  // be the one given.
  void layer_norm(const std::string& node, const std::string& module, double epsilon);
  // node: a BatchNormalization, to running_mean and running_var and, affine, weight and bias.
  // Without affine its scale and bias must be ones and zeros.
  void batch_norm(const std::string& node, const std::string& module, bool affine, double epsilon);
  void initializer(const std::string& name, const std::string& as);

  // DataError: names the file and what it lacks.
  std::shared_ptr<const TensorFile> finish();

 private:
  const OnnxNode* find(const std::string& name);
  const TensorView* constant(const OnnxNode& node, size_t input);
  // The one input that is a tensor of the file with more than one value.
  const TensorView* operand(const std::string& node);
  void take(const TensorView* view, const std::string& as, const std::string& from);
  void check_epsilon(double found, double wanted, const std::string& node);

  std::shared_ptr<const OnnxFile> file_;
  std::shared_ptr<DerivedTensors> weights_;
  std::vector<std::string> missing_;
};

}  // namespace ttsft
