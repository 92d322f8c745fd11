#include "ttsft/judge/whisper_model_bin.h"

#include <array>
#include <bit>
#include <cstring>
#include <type_traits>
#include <utility>

#include "ttsft/core/error.h"
#include "ttsft/io/mapped_file.h"

namespace ttsft {
namespace {

static_assert(std::endian::native == std::endian::little,
              "the file format is little-endian");

// In the order of CTranslate2's enum DataType.
constexpr std::array kTypes = {DType::kF32, DType::kI8,  DType::kI16,
                               DType::kI32, DType::kF16, DType::kBF16};
constexpr uint32_t kFirstVersion = 4,
                   kLastVersion = 6; // older ones tell no types

class Cursor {
public:
  explicit Cursor(const MappedFile &file) : file_(file), rest_(file.bytes()) {}

  std::span<const std::byte> take(size_t count) {
    if (count > rest_.size())
      fail("the file is cut short");
    const auto taken = rest_.first(count);
    rest_ = rest_.subspan(count);
    return taken;
  }
  template <typename T> T number() {
    T value;
    std::memcpy(&value, take(sizeof(T)).data(), sizeof(T));
    return value;
  }
  std::string text() {
    const auto bytes = take(number<uint16_t>());
    if (bytes.empty() || bytes.back() != std::byte{0})
      fail("a name does not end");
    return {reinterpret_cast<const char *>(bytes.data()), bytes.size() - 1};
  }
  bool at_end() const { return rest_.empty(); }

  [[noreturn]] void fail(const std::string &what) const {
    throw DataError("malformed model.bin: " + what, file_.path().string(),
                    "download or convert it again");
  }

private:
  const MappedFile &file_;
  std::span<const std::byte> rest_;
};

TensorView read_variable(Cursor &in) {
  TensorView view;
  view.name = in.text();
  const auto dimensions = in.number<uint8_t>();
  for (uint8_t i = 0; i < dimensions; ++i)
    view.shape.push_back(in.number<uint32_t>());
  const auto type = in.number<uint8_t>();
  if (type >= kTypes.size())
    in.fail(view.name + " is of type " + std::to_string(type));
  view.dtype = kTypes[type];
  const auto size = in.number<uint32_t>();
  int64_t values = 1;
  for (const int64_t dimension : view.shape) {
    if (__builtin_mul_overflow(values, dimension, &values))
      in.fail(view.name + " is too large");
  }
  if (values > size || values * dtype_size(view.dtype) != size) {
    in.fail(view.name + " " + shape_text(view.shape) + " has " +
            std::to_string(size) + " bytes");
  }
  view.bytes = in.take(size);
  return view;
}

} // namespace

std::shared_ptr<const ModelBin>
ModelBin::open(const std::filesystem::path &path) {
  auto model = std::make_shared<ModelBin>();
  model->path_ = path;
  model->file_ = std::make_shared<MappedFile>(path);
  Cursor in(*model->file_);
  const auto version = in.number<uint32_t>();
  if (version < kFirstVersion || version > kLastVersion) {
    throw DataError("not a model.bin of CTranslate2, or of version " +
                        std::to_string(version),
                    path.string(),
                    "versions 4 to 6 are known: convert the model again");
  }
  model->specification_ = in.text();
  in.number<uint32_t>(); // revision
  for (auto left = in.number<uint32_t>(); left > 0; --left)
    model->tensors_.push_back(read_variable(in));
  const size_t variables = model->tensors_.size();
  for (auto left = in.number<uint32_t>(); left > 0; --left) {
    const std::string alias = in.text(), name = in.text();
    size_t i = 0;
    while (i < variables && model->tensors_[i].name != name)
      ++i;
    if (i == variables)
      in.fail(alias + " stands for " + name + ", which is not there");
    TensorView view = model->tensors_[i];
    view.name = alias;
    model->tensors_.push_back(std::move(view));
  }
  if (!in.at_end())
    in.fail("something follows its end");
  model->sort();
  return model;
}

std::optional<int64_t> ModelBin::integer(const std::string &name) const {
  const TensorView *view = find(name);
  if (!view || !view->shape.empty())
    return std::nullopt;
  const auto as = [&]<typename T>(T value) -> int64_t {
    std::memcpy(&value, view->bytes.data(), sizeof(T));
    return value;
  };
  if (view->dtype == DType::kI8)
    return as(int8_t{});
  if (view->dtype == DType::kI16)
    return as(int16_t{});
  if (view->dtype == DType::kI32)
    return as(int32_t{});
  return std::nullopt;
}

namespace {

// model.{encoder,decoder}.layers.N.<ours> of
// {encoder,decoder}/layer_N/<theirs>/{weight,bias}: one of ours, or the parts
// of a fused projection in order.
struct LayerName {
  std::string_view theirs;
  std::vector<std::string_view> ours;
};
const std::array kLayerNames = {
    LayerName{"self_attention/layer_norm", {"self_attn_layer_norm"}},
    LayerName{"self_attention/linear_0",
              {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"}},
    LayerName{"self_attention/linear_1", {"self_attn.out_proj"}},
    LayerName{"attention/layer_norm", {"encoder_attn_layer_norm"}},
    LayerName{"attention/linear_0", {"encoder_attn.q_proj"}},
    LayerName{"attention/linear_1",
              {"encoder_attn.k_proj", "encoder_attn.v_proj"}},
    LayerName{"attention/linear_2", {"encoder_attn.out_proj"}},
    LayerName{"ffn/layer_norm", {"final_layer_norm"}},
    LayerName{"ffn/linear_0", {"fc1"}},
    LayerName{"ffn/linear_1", {"fc2"}}};

const std::array<std::pair<std::string_view, std::string_view>, 5> kOtherNames =
    {{{"conv1", "conv1"},
      {"conv2", "conv2"},
      {"layer_norm", "layer_norm"},
      {"position_encodings", "embed_positions"},
      {"embeddings", "embed_tokens"}}};

// "encoder/layer_0/ffn/linear_0/weight" -> "model.encoder.layers.0.fc1.weight".
// Empty: not known.
std::vector<std::string> new_names(const std::string &name) {
  const size_t side = name.find('/'), last = name.rfind('/');
  if (side == std::string::npos || side == last)
    return {};
  std::string kind = name.substr(last + 1);
  if (kind == "gamma" || kind == "encodings")
    kind = "weight";
  if (kind == "beta")
    kind = "bias";
  const std::string stem = "model." + name.substr(0, side) + ".";
  std::string path = name.substr(side + 1, last - side - 1);
  std::vector<std::string> names;
  if (!path.starts_with("layer_") || path == "layer_norm") {
    for (const auto &[theirs, ours] : kOtherNames)
      if (path == theirs)
        names.push_back(stem + std::string(ours) + "." + kind);
    return names;
  }
  const size_t slash = path.find('/');
  if (slash == std::string::npos)
    return {};
  const std::string number = path.substr(6, slash - 6);
  path.erase(0, slash + 1);
  for (const LayerName &known : kLayerNames) {
    if (path != known.theirs)
      continue;
    for (const std::string_view part : known.ours)
      names.push_back(stem + "layers." + number + "." + std::string(part) +
                      "." + kind);
  }
  return names;
}

bool is_zero(const TensorView &view) {
  const auto width = static_cast<size_t>(dtype_size(view.dtype));
  for (size_t i = 0; i < view.bytes.size(); ++i) {
    const std::byte sign =
        i % width == width - 1 ? std::byte{0x80} : std::byte{0};
    if ((view.bytes[i] & ~sign) != std::byte{0})
      return false;
  }
  return true;
}

// The rows of one part of `parts`.
TensorView rows_of(const TensorView &view, size_t part, size_t parts) {
  TensorView rows = view;
  rows.shape[0] /= static_cast<int64_t>(parts);
  const size_t size = view.bytes.size() / parts;
  rows.bytes = view.bytes.subspan(part * size, size);
  return rows;
}

// value / scale, one scale for each row or for all.
template <typename T>
std::vector<std::byte> divide(const TensorView &view, const TensorView &scale) {
  const auto count = static_cast<size_t>(shape_size(view.shape));
  const auto scales = static_cast<size_t>(shape_size(scale.shape));
  std::vector<std::byte> bytes(count * sizeof(float));
  for (size_t i = 0; i < count; ++i) {
    T value;
    float by;
    std::memcpy(&value, view.bytes.data() + i * sizeof(T), sizeof(T));
    std::memcpy(&by, scale.bytes.data() + i / (count / scales) * sizeof(float),
                sizeof(float));
    const float real = static_cast<float>(value) / by;
    std::memcpy(bytes.data() + i * sizeof(float), &real, sizeof(float));
  }
  return bytes;
}

// Whole numbers as what they stand for, everything else as it is.
std::shared_ptr<const TensorFile>
dequantized(const std::shared_ptr<const ModelBin> &model) {
  constexpr std::string_view kScale = "_scale";
  auto plain = std::make_shared<DerivedTensors>(model);
  for (const TensorView &view : model->tensors()) {
    if (view.shape.empty() || view.name.ends_with(kScale))
      continue;
    if (view.dtype != DType::kI8 && view.dtype != DType::kI16) {
      plain->keep(view);
      continue;
    }
    const TensorView &scale = model->at(view.name + std::string(kScale));
    const bool fits =
        scale.dtype == DType::kF32 &&
        (scale.shape.empty() || scale.shape == Shape{view.shape[0]});
    if (!fits || shape_size(view.shape) == 0) {
      throw DataError("malformed model.bin: " + scale.name + " " +
                          shape_text(scale.shape) + " does not fit " +
                          shape_text(view.shape),
                      model->path().string(), "convert the model again");
    }
    plain->add(view.name, DType::kF32, view.shape,
               view.dtype == DType::kI8 ? divide<int8_t>(view, scale)
                                        : divide<int16_t>(view, scale));
  }
  plain->finish();
  return plain;
}

} // namespace

std::shared_ptr<const TensorFile>
hugging_face_tensors(const std::shared_ptr<const ModelBin> &model) {
  const std::string file = model->path().string();
  if (model->specification() != "WhisperSpec") {
    throw DataError("model.bin holds a " + model->specification() +
                        ", not a Whisper",
                    file, "give the folder of a Whisper");
  }
  const std::shared_ptr<const TensorFile> plain = dequantized(model);
  auto renamed = std::make_shared<DerivedTensors>(plain);
  for (const TensorView &view : plain->tensors()) {
    if (view.name == "decoder/projection/weight")
      continue; // the table of tokens again
    const std::vector<std::string> names = new_names(view.name);
    if (names.empty())
      renamed->keep(view);
    if (!names.empty() && view.shape[0] % std::ssize(names) != 0) {
      throw DataError(view.name + " " + shape_text(view.shape) +
                          " does not hold " + std::to_string(names.size()) +
                          " projections",
                      file, "is this a whole model of Whisper?");
    }
    for (size_t i = 0; i < names.size(); ++i) {
      TensorView part = rows_of(view, i, names.size());
      part.name = names[i];
      if (!part.name.ends_with(".k_proj.bias")) {
        renamed->keep(part);
      } else if (!is_zero(part)) {
        throw DataError(view.name + " gives keys a bias", file,
                        "Whisper has none: is this another model?");
      }
    }
  }
  renamed->finish();
  return renamed;
}

} // namespace ttsft
