#include "ttsft/io/onnx.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "tests/support/temporary_folder.h"
#include "ttsft/core/error.h"
#include "ttsft/io/wire.h"

namespace ttsft {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

WireWriter tensor(const std::string& name, const std::vector<int64_t>& dims,
                  const std::vector<float>& values, bool raw) {
  WireWriter message;
  for (const int64_t dim : dims) message.integer(1, static_cast<uint64_t>(dim));
  message.integer(2, 1);  // float32
  message.bytes(8, name);
  message.bytes(raw ? 9 : 4,
                {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)});
  return message;
}

struct Graph {
  WireWriter graph;

  void weights(const std::string& name, const std::vector<int64_t>& dims,
               const std::vector<float>& values, bool raw = true) {
    graph.message(5, tensor(name, dims, values, raw));
  }
  static WireWriter make_node(const std::string& op, const std::string& name,
                              const std::vector<std::string>& inputs) {
    WireWriter node;
    for (const std::string& input : inputs) node.bytes(1, input);
    node.bytes(3, name);
    node.bytes(4, op);
    return node;
  }
  void node(const std::string& op, const std::string& name,
            const std::vector<std::string>& inputs) {
    graph.message(1, make_node(op, name, inputs));
  }
  void constant(const std::string& output, const std::vector<int64_t>& dims,
                const std::vector<float>& values) {
    WireWriter node = make_node("Constant", "/" + output, {}), attribute;
    attribute.bytes(1, "value");
    attribute.message(5, tensor("", dims, values, true));
    node.bytes(2, output);
    node.message(5, attribute);
    graph.message(1, node);
  }
  std::string model() const {
    WireWriter whole;
    whole.integer(1, 8);  // version
    whole.message(7, graph);
    return whole.data();
  }
  std::shared_ptr<const OnnxFile> open() const {
    return OnnxFile::open(folder.write("model.onnx", model()));
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
  const std::string whole = graph.model();
  EXPECT_THROW(OnnxFile::open(folder.write("cut.onnx", whole.substr(0, whole.size() - 3))),
               DataError);
  Graph outside;
  outside.node("Relu", "/r", {"x"});
  WireWriter weights = tensor("w", {1}, {1}, true);
  weights.integer(14, 1);
  outside.graph.message(5, weights);
  EXPECT_THAT(message_of<DataError>([&] { outside.open(); }), HasSubstr("a file of its own"));
}

}  // namespace
}  // namespace ttsft
