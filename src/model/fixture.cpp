#include "ttsft/model/fixture.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "ttsft/core/error.h"
#include "ttsft/core/progress.h"
#include "ttsft/io/atomic_file.h"
#include "ttsft/io/safetensors.h"
#include "ttsft/io/torch_file.h"
#include "ttsft/io/wire.h"
#include "ttsft/nn/rng.h"
#include "ttsft/nn/weights.h"

namespace ttsft {
namespace {

constexpr int64_t kChunk = int64_t{1} << 22;  // values drawn at once, in float32
constexpr double kSmallDeviation = 0.01;      // biases
constexpr int64_t kMegabyte = 1'000'000;

torch::Tensor draw(const FixtureTensor& spec, int64_t count, torch::Generator& generator) {
  using Fill = FixtureTensor::Fill;
  const torch::Tensor values = torch::empty({count});
  switch (spec.fill) {
    case Fill::kNormal:
      return values.normal_(0, spec.scale, generator);
    case Fill::kOne:
      return values.fill_(1);
    case Fill::kZero:
      return values.zero_();
    case Fill::kSmall:
      return values.normal_(0, kSmallDeviation, generator);
    case Fill::kCount:
      return values.uniform_(1, 2, generator);
  }
  throw RunError("a fixture tensor has an unknown fill", spec.name);
}

void fill(const FixtureTensor& spec, uint64_t seed, std::span<std::byte> bytes) {
  const torch::InferenceMode no_gradients;
  torch::Generator generator = make_generator(torch::kCPU, seed);
  const int64_t total = shape_size(spec.shape);
  const int64_t value_bytes = dtype_size(spec.dtype);
  for (int64_t done = 0; done < total; done += kChunk) {
    const int64_t count = std::min(kChunk, total - done);
    const torch::Tensor values = draw(spec, count, generator).to(to_torch(spec.dtype));
    std::memcpy(bytes.data() + done * value_bytes, values.data_ptr(),
                static_cast<size_t>(count * value_bytes));
  }
}

int64_t byte_size(const FixtureTensor& tensor) {
  return shape_size(tensor.shape) * dtype_size(tensor.dtype);
}

bool is_torch_file(const std::filesystem::path& path) {
  const std::string ending = path.extension().string();
  return ending == ".pt" || ending == ".pth" || ending == ".bin";
}

// Progress in whole megabytes; what is below one waits for the next tensor.
class Meter {
 public:
  explicit Meter(int64_t total) : progress_("fixture", total / kMegabyte, "MB") {}
  void advance(int64_t bytes, const std::string& note) {
    pending_ += bytes;
    progress_.advance(pending_ / kMegabyte, note);
    pending_ %= kMegabyte;
  }
  void finish() { progress_.finish(); }

 private:
  Progress progress_;
  int64_t pending_ = 0;
};

// Puts a tensor into the dictionaries that its name leads through: "net/cfm/conv1.weight".
void put(TorchValue& root, std::string_view name, const TensorView& view) {
  if (name.empty()) {
    root.data = view;
    return;
  }
  if (!root.dict()) root.data = TorchValue::Dict();
  auto& entries = std::get<TorchValue::Dict>(root.data);
  const size_t slash = name.find('/');
  const std::string key(name.substr(0, slash));
  if (entries.empty() || entries.back().first != key) entries.push_back({key, {}});
  const bool last = slash == std::string_view::npos;
  put(entries.back().second, last ? std::string_view() : name.substr(slash + 1), view);
}

void write_torch_tensors(const FixtureFile& file, const std::filesystem::path& target,
                         uint64_t seed, Meter& meter) {
  TorchValue root;
  std::vector<std::vector<std::byte>> data;  // owners of what the views look at
  data.reserve(file.tensors.size());
  for (const FixtureTensor& spec : file.tensors) {
    data.emplace_back(static_cast<size_t>(byte_size(spec)));
    fill(spec, derive_seed(seed, file.path + ":" + spec.name), data.back());
    put(root, spec.name, {spec.name, spec.dtype, spec.shape, data.back()});
    meter.advance(byte_size(spec), file.path);
  }
  std::filesystem::create_directories(target.parent_path());
  write_torch_file(target, root);
}

// Field numbers: io/onnx.cpp.
void write_onnx(const FixtureFile& file, const std::filesystem::path& target, uint64_t seed,
                Meter& meter) {
  WireWriter graph, model;
  for (const FixtureNode& node : file.nodes) {
    WireWriter message;
    for (const std::string& input : node.inputs) message.bytes(1, input);
    message.bytes(2, node.name + "_output_0");
    message.bytes(3, node.name);
    message.bytes(4, node.op);
    graph.message(1, message);
  }
  for (const FixtureTensor& spec : file.tensors) {
    std::string values(static_cast<size_t>(byte_size(spec)), '\0');
    fill(spec, derive_seed(seed, file.path + ":" + spec.name),
         std::as_writable_bytes(std::span(values)));
    WireWriter tensor;
    for (const int64_t size : spec.shape) tensor.integer(1, static_cast<uint64_t>(size));
    tensor.integer(2, 1);  // float32
    tensor.bytes(8, spec.name);
    tensor.bytes(9, values);
    graph.message(5, tensor);
    meter.advance(byte_size(spec), file.path);
  }
  model.integer(1, 8);
  model.message(7, graph);
  write_text_atomic(target, model.data());
}

void write_tensors(const FixtureFile& file, const std::filesystem::path& target, uint64_t seed,
                   Meter& meter) {
  std::vector<TensorView> shapes;
  for (const FixtureTensor& tensor : file.tensors) {
    shapes.push_back({tensor.name, tensor.dtype, tensor.shape, {}});
  }
  auto spec = file.tensors.begin();  // tensors come in the order given
  stream_safetensors(target, shapes, [&](const TensorView&, std::span<std::byte> bytes) {
    fill(*spec, derive_seed(seed, file.path + ":" + spec->name), bytes);
    meter.advance(byte_size(*spec), file.path);
    ++spec;
  });
}

}  // namespace

void write_fixture(const std::vector<FixtureFile>& files, const std::filesystem::path& out,
                   uint64_t seed) {
  if (std::filesystem::exists(out) && !std::filesystem::is_empty(out)) {
    throw UsageError("the folder is not empty", out.string(), "remove it or name another");
  }
  int64_t total = 0;
  for (const FixtureFile& file : files) {
    for (const FixtureTensor& tensor : file.tensors) total += byte_size(tensor);
  }
  AtomicFolder folder(out);
  Meter meter(total);
  for (const FixtureFile& file : files) {
    const std::filesystem::path target = folder.path() / file.path;
    if (file.tensors.empty()) {
      write_text_atomic(target, file.text);
    } else if (target.extension() == ".onnx") {
      write_onnx(file, target, seed, meter);
    } else if (is_torch_file(target)) {
      write_torch_tensors(file, target, seed, meter);
    } else {
      write_tensors(file, target, seed, meter);
    }
  }
  folder.commit();
  meter.finish();
}

}  // namespace ttsft
