#include "ttsft/io/onnx.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>
#include <sstream>

#include "ttsft/core/error.h"
#include "ttsft/core/strings.h"
#include "ttsft/io/mapped_file.h"
#include "ttsft/io/wire.h"

namespace ttsft {
namespace {

using Bytes = std::span<const std::byte>;

// Numbers of fields in onnx/onnx.proto (IR version 3 and later).
namespace model_field {
constexpr uint32_t kGraph = 7;
}
namespace graph_field {
constexpr uint32_t kNode = 1, kInitializer = 5;
}
namespace node_field {
constexpr uint32_t kInput = 1, kOutput = 2, kName = 3, kOp = 4, kAttribute = 5;
}
namespace attribute_field {
constexpr uint32_t kName = 1, kFloat = 2, kInteger = 3, kTensor = 5;
}
namespace tensor_field {
constexpr uint32_t kDims = 1, kType = 2, kFloats = 4, kInt32s = 5, kInt64s = 7, kName = 8, kRaw = 9,
                   kDoubles = 10, kLocation = 14;
}

// TensorProto.DataType.
DType dtype_of(uint64_t type, const std::string& tensor, const std::string& where) {
  switch (type) {
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
      throw DataError("tensor " + tensor + " has the unknown type " + std::to_string(type), where);
  }
}

// A tensor as its message has it: bytes where they lie, or values that have to be put together.
struct RawTensor {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
  Bytes bytes;
  std::vector<std::byte> made;  // in place of bytes, where it holds some
};

template <typename Number>
void append(std::vector<std::byte>& to, Number number) {
  const auto* bytes = reinterpret_cast<const std::byte*>(&number);
  to.insert(to.end(), bytes, bytes + sizeof number);
}

RawTensor read_tensor(Bytes message, const std::string& where) {
  RawTensor tensor;
  uint64_t type = 1;
  std::vector<int64_t> integers;
  bool outside = false;
  for (WireReader reader(message); reader.next();) {
    const auto all = [&] {
      return reader.is_bytes() ? packed_integers(reader.bytes())
                               : std::vector<int64_t>{static_cast<int64_t>(reader.number())};
    };
    switch (reader.field()) {
      case tensor_field::kDims:
        for (const int64_t size : all()) tensor.shape.push_back(size);
        break;
      case tensor_field::kType:
        type = reader.number();
        break;
      case tensor_field::kName:
        tensor.name = reader.text();
        break;
      case tensor_field::kRaw:
      case tensor_field::kDoubles:
        tensor.bytes = reader.bytes();
        break;
      case tensor_field::kFloats:  // packed, or one by one
        if (reader.is_bytes()) {
          tensor.bytes = reader.bytes();
        } else {
          append(tensor.made, reader.as_float());
        }
        break;
      case tensor_field::kInt32s:
      case tensor_field::kInt64s:
        for (const int64_t value : all()) integers.push_back(value);
        break;
      case tensor_field::kLocation:
        outside = reader.number() == 1;
        break;
      default:
        break;
    }
  }
  if (outside)
    throw DataError("tensor " + tensor.name + " lies in a file of its own", where,
                    "take the model with its weights inside");
  tensor.dtype = dtype_of(type, tensor.name, where);
  for (const int64_t value : integers) {
    if (tensor.dtype == DType::kI64) append(tensor.made, value);
    if (tensor.dtype == DType::kI32) append(tensor.made, static_cast<int32_t>(value));
  }
  return tensor;
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

void OnnxFile::add(const std::string& name, Bytes message) {
  RawTensor raw = read_tensor(message, path_.string());
  TensorView view{name.empty() ? raw.name : name, raw.dtype, raw.shape, raw.bytes};
  const auto align = static_cast<size_t>(dtype_size(view.dtype));
  const bool crooked = reinterpret_cast<uintptr_t>(view.bytes.data()) % align != 0;
  if (crooked && raw.made.empty()) raw.made.assign(view.bytes.begin(), view.bytes.end());
  if (!raw.made.empty()) {
    made_.push_back(std::make_unique<std::vector<std::byte>>(std::move(raw.made)));
    view.bytes = *made_.back();
  }
  const bool negative =
      std::any_of(view.shape.begin(), view.shape.end(), [](int64_t size) { return size < 0; });
  if (negative || std::ssize(view.bytes) != shape_size(view.shape) * dtype_size(view.dtype))
    throw DataError("tensor " + view.name + " of shape " + shape_text(view.shape) + " has " +
                        std::to_string(view.bytes.size()) + " bytes",
                    path_.string(), "the file is damaged; download it again");
  tensors_.push_back(std::move(view));
}

void OnnxFile::add_node(Bytes message) {
  OnnxNode node;
  std::string output;
  Bytes value;
  for (WireReader reader(message); reader.next();) {
    switch (reader.field()) {
      case node_field::kName:
        node.name = reader.text();
        break;
      case node_field::kOp:
        node.op = reader.text();
        break;
      case node_field::kInput:
        node.inputs.push_back(reader.text());
        break;
      case node_field::kOutput:
        output = output.empty() ? reader.text() : output;
        break;
      case node_field::kAttribute: {
        std::string name;
        std::optional<double> scalar;
        Bytes tensor;
        for (WireReader attribute(reader.bytes()); attribute.next();) {
          switch (attribute.field()) {
            case attribute_field::kName:
              name = attribute.text();
              break;
            case attribute_field::kFloat:
              scalar = attribute.as_float();
              break;
            case attribute_field::kInteger:
              scalar = static_cast<double>(static_cast<int64_t>(attribute.number()));
              break;
            case attribute_field::kTensor:
              tensor = attribute.bytes();
              break;
            default:
              break;
          }
        }
        if (scalar) node.numbers[name] = *scalar;
        if (name == "value") value = tensor;
        break;
      }
      default:
        break;
    }
  }
  if (node.op == "Constant" && !output.empty() && !value.empty()) add(output, value);
  nodes_.try_emplace(node.name, std::move(node));
}

std::shared_ptr<const OnnxFile> OnnxFile::open(const std::filesystem::path& path) {
  auto result = std::make_shared<OnnxFile>();
  result->path_ = path;
  result->file_ = std::make_shared<MappedFile>(path);
  try {
    for (WireReader model(result->file_->bytes()); model.next();) {
      if (model.field() != model_field::kGraph) continue;
      for (WireReader graph(model.bytes()); graph.next();) {
        if (graph.field() == graph_field::kInitializer) result->add("", graph.bytes());
        if (graph.field() == graph_field::kNode) result->add_node(graph.bytes());
      }
    }
  } catch (const std::runtime_error& error) {
    if (dynamic_cast<const Error*>(&error)) throw;
    throw DataError(std::string("not an ONNX model: ") + error.what(), path.string(),
                    "the download may be incomplete");
  }
  if (result->nodes_.empty())
    throw DataError("not an ONNX model: it has no nodes", path.string(),
                    "the download may be incomplete");
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
