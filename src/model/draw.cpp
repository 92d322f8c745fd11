#include "ttsft/model/draw.h"

#include <sstream>

#include "ttsft/core/error.h"
#include "ttsft/nn/rng.h"
#include "ttsft/nn/weights.h"

namespace ttsft {
namespace {

template <class T>
std::string shape_text(const T& shape) {
  std::ostringstream text;
  text << torch::IntArrayRef(shape);
  return text.str();
}

}  // namespace

Replay::Replay(const std::filesystem::path& file)
    : reader_(SafetensorsReader::open(file)), file_(file.string()) {
  for (const TensorView& view : reader_.tensors()) {
    if (view.dtype == DType::kF32) continue;
    throw DataError("the recorded tensor " + view.name + " is not float32", file_,
                    "write every tensor of a replay as float32");
  }
}

torch::Tensor Replay::at(int64_t step, const std::string& id, const std::string& name,
                         torch::IntArrayRef shape) const {
  const std::string of_all = id + "." + name, of_step = std::to_string(step) + "." + of_all;
  const TensorView* view = step > 0 ? reader_.find(of_step) : nullptr;
  if (view == nullptr) view = reader_.find(of_all);
  if (view == nullptr) {
    throw DataError("the replay has no tensor " + of_all + (step > 0 ? " and no " + of_step : ""),
                    file_, "record it, or remove the key to draw anew");
  }
  if (torch::IntArrayRef(view->shape) != shape) {
    throw DataError("the recorded tensor " + view->name + " has the shape " +
                        shape_text(view->shape) + ", wanted is " + shape_text(shape),
                    file_, "record it with this checkpoint and set");
  }
  return copy_tensor(*view);
}

std::unique_ptr<Replay> open_replay(const std::filesystem::path& file) {
  return file.empty() ? nullptr : std::make_unique<Replay>(file);
}

torch::Tensor Draw::tensor(const std::string& id, const std::string& name, torch::IntArrayRef shape,
                           const std::function<torch::Tensor(torch::Generator&)>& make) const {
  if (replay != nullptr) return replay->at(training ? step : 0, id, name, shape);
  torch::Generator generator =
      make_generator(torch::kCPU, derive_seed(training ? seed : 0, name + " of " + id));
  return make(generator);
}

torch::Tensor Draw::uniform(const std::string& id, const std::string& name,
                            torch::IntArrayRef shape) const {
  return tensor(id, name, shape, [&](torch::Generator& generator) {
    return torch::rand(shape, generator, torch::TensorOptions().dtype(torch::kFloat32));
  });
}

torch::Tensor Draw::normal(const std::string& id, const std::string& name,
                           torch::IntArrayRef shape) const {
  return tensor(id, name, shape, [&](torch::Generator& generator) {
    return torch::randn(shape, generator, torch::TensorOptions().dtype(torch::kFloat32));
  });
}

bool Draw::happens(const std::string& id, const std::string& name, double probability) const {
  const torch::Tensor flag = tensor(id, name, {1}, [&](torch::Generator& generator) {
    return torch::rand({1}, generator, torch::TensorOptions().dtype(torch::kFloat32))
        .lt(probability)
        .to(torch::kFloat32);
  });
  return flag.item<float>() > 0.5f;
}

}  // namespace ttsft
