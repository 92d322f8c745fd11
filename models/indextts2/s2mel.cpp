#include "models/indextts2/s2mel.h"

#include <cmath>

#include "ttsft/core/error.h"
#include "ttsft/io/tensor_shapes.h"
#include "ttsft/io/torch_file.h"
#include "ttsft/nn/length_batches.h"
#include "ttsft/nn/weights.h"

namespace ttsft::indextts2 {
namespace {

constexpr float kFramesPerCode = 1.72F;
constexpr double kGroupEpsilon = 1e-5;

// The three parts of the file under "cfm.", "length_regulator." and "gpt_layer.", without the
// "module." of a parallel trainer.
std::shared_ptr<const TensorFile> open_parts(const std::filesystem::path& path) {
  const auto file = open_tensor_file(path);
  auto parts = std::make_shared<DerivedTensors>(file);
  bool any = false;
  for (TensorView view : file->tensors()) {
    constexpr std::string_view kNet = "net.", kModule = "module.";
    if (!view.name.starts_with(kNet)) continue;
    view.name.erase(0, kNet.size());
    const size_t dot = view.name.find('.');
    if (dot != std::string::npos && view.name.substr(dot + 1).starts_with(kModule))
      view.name.erase(dot + 1, kModule.size());
    parts->keep(view);
    any = true;
  }
  parts->finish();
  if (!any)
    throw DataError("no tensors below \"net\"", path.string(),
                    "is this s2mel.pth of IndexTeam/IndexTTS-2?");
  return parts;
}

}  // namespace

int64_t mel_frames(int64_t codes, double duration_factor) {
  const float frames = static_cast<float>(codes) * kFramesPerCode;
  return static_cast<int64_t>(static_cast<double>(frames) * duration_factor);
}

LengthRegulatorImpl::LengthRegulatorImpl(const S2MelConfig& config) {
  const int64_t channels = config.regulator_channels;
  content_in_proj = register_module("content_in_proj", Linear(config.regulator_in, channels, true));
  auto model = register_module("model", ModuleGroup());
  int64_t index = 0;
  for (int64_t i = 0; i < config.regulator_convs; ++i, index += 3) {
    Stage stage{model->add(index, Conv1d(ConvOptions{channels, channels, 3})), {}, {}};
    auto norm = model->add(index + 1, ModuleGroup());
    stage.scale = norm->register_parameter("weight", torch::empty({channels}));
    stage.shift = norm->register_parameter("bias", torch::empty({channels}));
    stages_.push_back(stage);  // index + 2 is the activation
  }
  last_ = model->add(index, Conv1d(ConvOptions{channels, channels}));
}

torch::Tensor LengthRegulatorImpl::forward(const torch::Tensor& x, int64_t frames) {
  torch::Tensor y = content_in_proj(x).t().unsqueeze(0);  // [1, C, n]
  y = torch::upsample_nearest1d(y, {frames});
  for (Stage& stage : stages_)
    y = torch::mish(
        torch::group_norm(stage.conv(y, 1), 1, stage.scale, stage.shift, kGroupEpsilon));
  return last_(y).squeeze(0).t();  // [frames, C]
}

S2Mel::S2Mel(const Config& config, torch::Device device) {
  const auto parts = open_parts(config.s2mel_file);
  const auto estimator = fold_weight_norm(parts, "cfm.estimator.");
  LoadOptions options;
  options.device = device;
  options.skip = {{"input_pos", "positions are counted"},
                  {"x_embedder.", "of another kind of input"},
                  {"cond_embedder.", "of another kind of input"},
                  {"content_mask_embedder.", "of another kind of input"}};
  estimator_ = Dit(dit_options(*estimator, "", config.s2mel));
  load_strict(*estimator_, estimator, options);
  estimator_->eval();

  regulator_ = LengthRegulator(config.s2mel);
  options.prefix = "length_regulator.";
  options.skip = {{"length_regulator.embedding.", "of codes without vectors"},
                  {"length_regulator.mask_token", "of codes without vectors"}};
  load_strict(*regulator_, parts, options);
  regulator_->eval();

  const int64_t count = count_tensors(*parts, "gpt_layer.", ".weight");
  ModuleGroup layers;
  int64_t width = config.gpt.model_dim;
  for (int64_t i = 0; i < count; ++i) {
    const Shape& shape = shape_of(*parts, "gpt_layer." + std::to_string(i) + ".weight", 2);
    gpt_layer_.push_back(layers->add(i, Linear(width, shape[0], true)));
    width = shape[0];
  }
  if (width != config.s2mel.regulator_in || width != config.semantic_codec.hidden_size)
    throw DataError("gpt_layer ends in " + std::to_string(width) +
                        " values, the vectors of the codes have " +
                        std::to_string(config.semantic_codec.hidden_size),
                    config.s2mel_file.string(), "take all files from one release");
  options.prefix = "gpt_layer.";
  options.skip.clear();
  load_strict(*layers, parts, options);
}

torch::Tensor S2Mel::regulate(const torch::Tensor& vectors, int64_t frames) {
  return regulator_(vectors, frames);
}

torch::Tensor S2Mel::from_latents(torch::Tensor latents) {
  for (Linear& layer : gpt_layer_) latents = layer(latents);
  return latents;
}

std::vector<torch::Tensor> S2Mel::mels(const MelPrompt& prompt,
                                       const std::vector<torch::Tensor>& conditions,
                                       const std::vector<torch::Tensor>& noise,
                                       const FlowOptions& options) {
  const int64_t known = prompt.mel.size(1), batch = std::ssize(conditions);
  const bool guided = options.guidance > 0;
  std::vector<torch::Tensor> whole, starts;  // [T, ..]
  RowLengths lengths;
  for (size_t i = 0; i < conditions.size(); ++i) {
    whole.push_back(torch::cat({prompt.condition, conditions[i]}));
    starts.push_back(noise.at(i).t());
    lengths.push_back(whole.back().size(0));
    if (noise[i].dim() != 2 || starts.back().size(0) != lengths.back())
      throw std::logic_error("S2Mel: the noise is not [mels, prompt + target]");
  }
  const torch::Tensor condition = pad_rows(whole);     // [B, T, C]
  torch::Tensor x = pad_rows(starts).transpose(1, 2);  // [B, mels, T]
  const int64_t frames = condition.size(1);
  if (guided) lengths.insert(lengths.end(), lengths.begin(), lengths.begin() + batch);
  const Rows rows(lengths, frames, condition.device());
  const std::vector<FlowStep> steps = flow_steps(options.steps, FlowSchedule::kLinear);
  const DitImpl::Schedule schedule = estimator_->schedule(flow_times(steps, condition.device()));
  const torch::Tensor given = torch::constant_pad_nd(prompt.mel, {0, frames - known});
  const torch::Tensor constant = estimator_->constant(given.expand({batch, -1, -1}), condition,
                                                      prompt.style.expand({batch, -1}), guided);
  const Rope rope = estimator_->rope(frames, condition.device());
  const auto clear_prompt = [known](torch::Tensor& now) { now.narrow(2, 0, known).zero_(); };
  clear_prompt(x);
  x = solve_flow(
      x, steps, options.guidance,
      [&](const torch::Tensor& now, size_t step) {
        return estimator_->forward(now, constant, schedule, step, rope, rows);
      },
      clear_prompt);
  std::vector<torch::Tensor> mels;
  for (int64_t i = 0; i < batch; ++i)
    mels.push_back(x[i].narrow(1, known, conditions[static_cast<size_t>(i)].size(0)));
  return mels;
}

}  // namespace ttsft::indextts2
