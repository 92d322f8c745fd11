#include "ttsft/io/onnx.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "onnx.pb.h"
#include "tests/support/temporary_folder.h"
#include "ttsft/core/error.h"

namespace ttsft {
namespace {

using onnx_format::ModelProto;
using onnx_format::NodeProto;
using onnx_format::TensorProto;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

void set(TensorProto& tensor, const std::string& name, const std::vector<int64_t>& dims,
         const std::vector<float>& values, bool raw) {
  tensor.set_name(name);
  tensor.set_data_type(1);
  for (const int64_t dim : dims) tensor.add_dims(dim);
  if (raw) {
    tensor.set_raw_data(values.data(), values.size() * sizeof(float));
  } else {
    for (const float value : values) tensor.add_float_data(value);
  }
}

struct Graph {
  ModelProto model;

  void weights(const std::string& name, const std::vector<int64_t>& dims,
               const std::vector<float>& values, bool raw = true) {
    set(*model.mutable_graph()->add_initializer(), name, dims, values, raw);
  }
  NodeProto& node(const std::string& op, const std::string& name,
                  const std::vector<std::string>& inputs) {
    NodeProto& node = *model.mutable_graph()->add_node();
    node.set_name(name);
    node.set_op_type(op);
    for (const std::string& input : inputs) node.add_input(input);
    return node;
  }
  void constant(const std::string& output, const std::vector<int64_t>& dims,
                const std::vector<float>& values) {
    NodeProto& made = node("Constant", "/" + output, {});
    made.add_output(output);
    auto& attribute = *made.add_attribute();
    attribute.set_name("value");
    set(*attribute.mutable_t(), "", dims, values, true);
  }
  std::shared_ptr<const OnnxFile> open() const {
    return OnnxFile::open(folder.write("model.onnx", model.SerializeAsString()));
  }

  TemporaryFolder folder;
};

std::vector<float> values(const TensorFile& file, const std::string& name) {
  const TensorView& view = file.at(name);
  std::vector<float> result(view.bytes.size() / sizeof(float));
  std::memcpy(result.data(), view.bytes.data(), view.bytes.size());
  return result;
}

// Anonymous names that differ with every export, a bias on either side, values that lie in either
// field, constants instead of initializers.
TEST(Onnx, WeightsAreFoundThroughTheNodesThatUseThem) {
  for (const std::string number : {"341", "7"}) {
    Graph graph;
    graph.weights("onnx::MatMul_" + number, {2, 3}, {1, 2, 3, 4, 5, 6});
    graph.weights("up.bias", {3}, {7, 8, 9}, /*raw=*/number == "7");
    graph.node("MatMul", "/up/MatMul", {"x", "onnx::MatMul_" + number});
    graph.node("Add", "/up/Add",
               number == "7" ? std::vector<std::string>{"y", "up.bias"}
                             : std::vector<std::string>{"up.bias", "y"});
    graph.weights("onnx::Conv_" + number, {1, 2, 1}, {3, 4});
    graph.constant("shift", {2}, {5, 6});
    graph.node("Conv", "/c/Conv", {"x", "onnx::Conv_" + number, "shift"});
    OnnxWeights weights(graph.open());
    weights.linear("/up", "mlp.up", true);
    weights.conv("/c/Conv", "conv", true);
    weights.initializer("up.bias", "copy");
    const auto file = weights.finish();
    EXPECT_THAT(file->at("mlp.up.weight").shape, ElementsAre(3, 2));
    EXPECT_THAT(values(*file, "mlp.up.weight"), ElementsAre(1, 4, 2, 5, 3, 6));
    EXPECT_THAT(values(*file, "mlp.up.bias"), ElementsAre(7, 8, 9));
    EXPECT_THAT(values(*file, "conv.bias"), ElementsAre(5, 6));
    EXPECT_THAT(values(*file, "copy"), ElementsAre(7, 8, 9));
  }
}

TEST(Onnx, NormsDecomposedFusedAndBatched) {
  Graph graph;
  graph.weights("ln.weight", {2}, {1, 2});
  graph.weights("ln.bias", {2}, {3, 4});
  graph.constant("eps", {}, {1e-5f});
  graph.node("Add", "/ln/Add", {"variance", "eps"});
  graph.node("Mul", "/ln/Mul", {"normed", "ln.weight"});
  graph.node("Add", "/ln/Add_1", {"scaled", "ln.bias"});
  graph.node("LayerNormalization", "/fused/LayerNormalization", {"x", "ln.bias", "ln.weight"});
  graph.weights("mean", {2}, {5, 6});
  graph.weights("var", {2}, {7, 8});
  graph.constant("ones", {2}, {1, 1});
  graph.constant("zeros", {2}, {0, 0});
  graph.node("BatchNormalization", "/bn", {"x", "ln.weight", "ln.bias", "mean", "var"});
  graph.node("BatchNormalization", "/plain", {"x", "ones", "zeros", "mean", "var"});
  const auto file = graph.open();
  OnnxWeights weights(file);
  weights.layer_norm("/ln", "ln", 1e-5);
  weights.layer_norm("/fused", "fused", 1e-5);
  weights.batch_norm("/bn", "bn", true, 1e-5);
  weights.batch_norm("/plain", "plain", false, 1e-5);
  const auto found = weights.finish();
  EXPECT_THAT(values(*found, "ln.weight"), ElementsAre(1, 2));
  EXPECT_THAT(values(*found, "fused.weight"), ElementsAre(3, 4));
  EXPECT_THAT(values(*found, "bn.bias"), ElementsAre(3, 4));
  EXPECT_THAT(values(*found, "plain.running_var"), ElementsAre(7, 8));
  EXPECT_EQ(found->find("plain.weight"), nullptr);
  EXPECT_THROW(OnnxWeights(file).layer_norm("/ln", "ln", 1e-6), DataError);
  EXPECT_THROW(OnnxWeights(file).batch_norm("/bn", "bn", false, 1e-5), DataError);
}

TEST(Onnx, WhatIsMissingIsListedAtOnce) {
  Graph graph;
  graph.node("Conv", "/c/Conv", {"x", "computed"});
  OnnxWeights weights(graph.open());
  weights.conv("/c/Conv", "c", true);
  weights.linear("/up", "up", false);
  weights.initializer("table", "table");
  EXPECT_THAT(message_of<DataError>([&] { weights.finish(); }),
              AllOf(HasSubstr("c.weight"), HasSubstr("c.bias"), HasSubstr("/up/MatMul"),
                    HasSubstr("table"), HasSubstr("model.onnx")));
}

TEST(Onnx, DamagedFilesAreRefused) {
  TemporaryFolder folder;
  EXPECT_THROW(OnnxFile::open(folder.write("text.onnx", "no model at all")), DataError);
  EXPECT_THROW(OnnxFile::open(folder.write("empty.onnx", "")), DataError);
  Graph graph;
  graph.node("Relu", "/r", {"x"});
  graph.weights("w", {2, 2}, {1, 2, 3});
  EXPECT_THAT(message_of<DataError>([&] { graph.open(); }), HasSubstr("w of shape [2, 2]"));
  const std::string whole = graph.model.SerializeAsString();
  EXPECT_THROW(OnnxFile::open(folder.write("cut.onnx", whole.substr(0, whole.size() - 3))),
               DataError);
  Graph outside;
  outside.node("Relu", "/r", {"x"});
  outside.weights("w", {1}, {1});
  outside.model.mutable_graph()->mutable_initializer(0)->set_data_location(1);
  EXPECT_THAT(message_of<DataError>([&] { outside.open(); }), HasSubstr("a file of its own"));
}

}  // namespace
}  // namespace ttsft
