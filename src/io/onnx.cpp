#include "ttsft/io/onnx.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <sstream>

#include "onnx.pb.h"
#include "ttsft/core/error.h"
#include "ttsft/core/strings.h"
#include "ttsft/io/mapped_file.h"

namespace ttsft {
namespace {

using onnx_format::AttributeProto;
using onnx_format::ModelProto;
using onnx_format::NodeProto;
using onnx_format::TensorProto;

template <typename Values>
std::span<const std::byte> bytes_of(const Values& values) {
  return {reinterpret_cast<const std::byte*>(values.data()),
          static_cast<size_t>(values.size()) * sizeof(*values.data())};
}

// TensorProto.DataType of the format.
DType dtype_of(const TensorProto& tensor, const std::string& where) {
  switch (tensor.data_type()) {
    case 1:
      return DType::kF32;
    case 2:
      return DType::kU8;
    case 3:
      return DType::kI8;
    case 5:
      return DType::kI16;
    case 6:
      return DType::kI32;
    case 7:
      return DType::kI64;
    case 9:
      return DType::kBool;
    case 10:
      return DType::kF16;
    case 11:
      return DType::kF64;
    case 16:
      return DType::kBF16;
    default:
      throw DataError(
          "tensor " + tensor.name() + " has the unknown type " + std::to_string(tensor.data_type()),
          where);
  }
}

std::span<const std::byte> data_of(const TensorProto& tensor, DType dtype) {
  if (tensor.has_raw_data()) return bytes_of(tensor.raw_data());
  if (dtype == DType::kF32) return bytes_of(tensor.float_data());
  if (dtype == DType::kI32) return bytes_of(tensor.int32_data());
  if (dtype == DType::kI64) return bytes_of(tensor.int64_data());
  if (dtype == DType::kF64) return bytes_of(tensor.double_data());
  return {};
}

TensorView view_of(const std::string& name, const TensorProto& tensor, const std::string& where) {
  if (tensor.data_location() == 1)
    throw DataError("tensor " + name + " lies in a file of its own", where,
                    "take the model with its weights inside");
  TensorView view;
  view.name = name;
  view.dtype = dtype_of(tensor, where);
  view.shape.assign(tensor.dims().begin(), tensor.dims().end());
  view.bytes = data_of(tensor, view.dtype);
  const bool negative =
      std::any_of(view.shape.begin(), view.shape.end(), [](int64_t size) { return size < 0; });
  if (negative || std::ssize(view.bytes) != shape_size(view.shape) * dtype_size(view.dtype))
    throw DataError("tensor " + name + " of shape " + shape_text(view.shape) + " has " +
                        std::to_string(view.bytes.size()) + " bytes",
                    where, "the file is damaged; download it again");
  return view;
}

OnnxNode node_of(const NodeProto& proto) {
  OnnxNode node;
  node.name = proto.name();
  node.op = proto.op_type();
  node.inputs.assign(proto.input().begin(), proto.input().end());
  for (const AttributeProto& attribute : proto.attribute()) {
    if (attribute.has_f()) node.numbers[attribute.name()] = attribute.f();
    if (attribute.has_i()) node.numbers[attribute.name()] = static_cast<double>(attribute.i());
  }
  return node;
}

std::string number(double value) {
  std::ostringstream text;
  text << value;
  return text.str();
}

std::vector<float> floats(const TensorView& view) {
  std::vector<float> values(view.bytes.size() / sizeof(float));
  std::memcpy(values.data(), view.bytes.data(), view.bytes.size());
  return values;
}

std::vector<std::byte> transposed(const TensorView& view) {
  const auto rows = static_cast<size_t>(view.shape[0]),
             columns = static_cast<size_t>(view.shape[1]);
  const std::vector<float> from = floats(view);
  std::vector<std::byte> bytes(view.bytes.size());
  auto* to = reinterpret_cast<float*>(bytes.data());
  // In tiles, so that neither side is read across the whole matrix.
  constexpr size_t kTile = 64;
  for (size_t r0 = 0; r0 < rows; r0 += kTile) {
    for (size_t c0 = 0; c0 < columns; c0 += kTile) {
      for (size_t r = r0; r < std::min(rows, r0 + kTile); ++r) {
        for (size_t c = c0; c < std::min(columns, c0 + kTile); ++c)
          to[c * rows + r] = from[r * columns + c];
      }
    }
  }
  return bytes;
}

}  // namespace

std::shared_ptr<const OnnxFile> OnnxFile::open(const std::filesystem::path& path) {
  const MappedFile file(path);
  const std::string where = path.string();
  auto model = std::make_shared<ModelProto>();
  // A model above 2 GB has its weights outside, which the format prescribes.
  const bool small = file.bytes().size() <= std::numeric_limits<int>::max();
  if (!small ||
      !model->ParseFromArray(file.bytes().data(), static_cast<int>(file.bytes().size())) ||
      !model->has_graph() || model->graph().node().empty())
    throw DataError("not an ONNX model", where, "the download may be incomplete");
  auto result = std::make_shared<OnnxFile>();
  result->path_ = path;
  for (const TensorProto& tensor : model->graph().initializer())
    result->tensors_.push_back(view_of(tensor.name(), tensor, where));
  for (const NodeProto& node : model->graph().node()) {
    result->nodes_.try_emplace(node.name(), node_of(node));
    if (node.op_type() != "Constant" || node.output().empty()) continue;
    for (const AttributeProto& attribute : node.attribute()) {
      if (attribute.name() == "value" && attribute.has_t())
        result->tensors_.push_back(view_of(node.output(0), attribute.t(), where));
    }
  }
  result->model_ = std::move(model);
  result->sort();
  return result;
}

const OnnxNode* OnnxFile::node(const std::string& name) const {
  const auto found = nodes_.find(name);
  return found == nodes_.end() ? nullptr : &found->second;
}

OnnxWeights::OnnxWeights(std::shared_ptr<const OnnxFile> file)
    : file_(std::move(file)), weights_(std::make_shared<DerivedTensors>(file_)) {}

const OnnxNode* OnnxWeights::find(const std::string& name) {
  const OnnxNode* node = file_->node(name);
  if (!node) missing_.push_back("node " + name);
  return node;
}

const TensorView* OnnxWeights::constant(const OnnxNode& node, size_t input) {
  return input < node.inputs.size() ? file_->find(node.inputs[input]) : nullptr;
}

const TensorView* OnnxWeights::operand(const std::string& name) {
  const OnnxNode* node = find(name);
  if (!node) return nullptr;
  for (size_t i = 0; i < node->inputs.size(); ++i) {
    const TensorView* view = constant(*node, i);
    if (view && shape_size(view->shape) > 1) return view;
  }
  missing_.push_back("the weights of node " + name);
  return nullptr;
}

void OnnxWeights::take(const TensorView* view, const std::string& as, const std::string& from) {
  if (!view) {
    missing_.push_back(as + " (of " + from + ")");
    return;
  }
  if (view->dtype != DType::kF32)
    throw DataError(view->name + " is " + std::string(dtype_name(view->dtype)) + ", not F32",
                    file_->path().string(), "take the model in float32");
  TensorView renamed = *view;
  renamed.name = as;
  weights_->keep(renamed);
}

void OnnxWeights::conv(const std::string& node, const std::string& module, bool with_bias) {
  const OnnxNode* conv = find(node);
  if (!conv) return;
  take(constant(*conv, 1), module + ".weight", node);
  if (with_bias) take(constant(*conv, 2), module + ".bias", node);
}

void OnnxWeights::linear(const std::string& node, const std::string& module, bool with_bias) {
  if (const TensorView* weight = operand(node + "/MatMul")) {
    if (weight->dtype != DType::kF32 || weight->shape.size() != 2)
      throw DataError(weight->name + " is no matrix of float32", file_->path().string());
    weights_->add(module + ".weight", DType::kF32, {weight->shape[1], weight->shape[0]},
                  transposed(*weight));
  }
  if (!with_bias) return;
  if (const TensorView* bias = operand(node + "/Add")) take(bias, module + ".bias", node);
}

void OnnxWeights::check_epsilon(double found, double wanted, const std::string& node) {
  if (std::abs(found - wanted) <= 1e-3 * wanted) return;
  throw DataError(
      "the norm " + node + " has the epsilon " + number(found) + ", not " + number(wanted),
      file_->path().string(), "this is another network");
}

void OnnxWeights::layer_norm(const std::string& node, const std::string& module, double epsilon) {
  if (const OnnxNode* fused = file_->node(node + "/LayerNormalization")) {
    const auto own = fused->numbers.find("epsilon");
    check_epsilon(own == fused->numbers.end() ? 1e-5 : own->second, epsilon, node);
    take(constant(*fused, 1), module + ".weight", node);
    take(constant(*fused, 2), module + ".bias", node);
    return;
  }
  if (const OnnxNode* add = find(node + "/Add")) {
    for (size_t i = 0; i < add->inputs.size(); ++i) {
      const TensorView* view = constant(*add, i);
      if (view && view->dtype == DType::kF32 && shape_size(view->shape) == 1)
        check_epsilon(floats(*view)[0], epsilon, node);
    }
  }
  if (const TensorView* weight = operand(node + "/Mul")) take(weight, module + ".weight", node);
  if (const TensorView* bias = operand(node + "/Add_1")) take(bias, module + ".bias", node);
}

void OnnxWeights::batch_norm(const std::string& node, const std::string& module, bool affine,
                             double epsilon) {
  const OnnxNode* norm = find(node);
  if (!norm) return;
  const auto own = norm->numbers.find("epsilon");
  check_epsilon(own == norm->numbers.end() ? 1e-5 : own->second, epsilon, node);
  take(constant(*norm, 3), module + ".running_mean", node);
  take(constant(*norm, 4), module + ".running_var", node);
  if (affine) {
    take(constant(*norm, 1), module + ".weight", node);
    take(constant(*norm, 2), module + ".bias", node);
    return;
  }
  for (size_t input = 1; input <= 2; ++input) {
    const TensorView* view = constant(*norm, input);
    if (!view || view->dtype != DType::kF32) continue;
    const std::vector<float> values = floats(*view);
    const float plain = input == 1 ? 1.0f : 0.0f;
    if (std::any_of(values.begin(), values.end(), [&](float v) { return v != plain; }))
      throw DataError("the norm " + node + " scales or shifts, which it does not in this network",
                      file_->path().string());
  }
}

void OnnxWeights::initializer(const std::string& name, const std::string& as) {
  take(file_->find(name), as, "the initializer " + name);
}

std::shared_ptr<const TensorFile> OnnxWeights::finish() {
  if (!missing_.empty())
    throw DataError("the model lacks " + join(missing_, ", "), file_->path().string(),
                    "is this the file of another network?");
  weights_->finish();
  return weights_;
}

}  // namespace ttsft
