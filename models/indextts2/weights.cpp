#include "models/indextts2/weights.h"

#include "ttsft/core/error.h"
#include "ttsft/io/torch_file.h"
#include "ttsft/nn/weights.h"

namespace ttsft::indextts2 {
namespace {

constexpr const char* kLandmark = "gpt.ln_f.weight";  // every way of saving has it somewhere
constexpr std::string_view kBaseLayer = ".base_layer.";

const std::map<std::string, std::string> kEncoders = {
    {"conditioning_encoder.", "prepared conditions take its place"},
    {"perceiver_encoder.", "prepared conditions take its place"},
    {"emo_conditioning_encoder.", "prepared emotion vectors take its place"},
    {"emo_perceiver_encoder.", "prepared emotion vectors take its place"},
    {"emovec_layer.", "prepared emotion vectors take its place"},
    {"emo_layer.", "prepared emotion vectors take its place"}};
const std::map<std::string, std::string> kLanguageModel = {{"gpt.", "the language model"},
                                                           {"text_", "the language model"},
                                                           {"mel_", "the language model"},
                                                           {"final_norm.", "the language model"},
                                                           {"speed_emb.", "the language model"}};

bool foreign(const std::string& name) {
  return name.starts_with("inference_model.") || name == "gpt.wte.weight" ||
         name.find(".lora_") != std::string::npos;
}

}  // namespace

std::shared_ptr<const TensorFile> open_gpt(const std::filesystem::path& file) {
  const auto source = open_tensor_file(file);
  const std::string prefix = source->find(kLandmark) ? "" : "model.";
  if (!source->find(prefix + kLandmark))
    throw DataError(std::string("no tensor ") + kLandmark, file.string(),
                    "is this gpt.pth of IndexTeam/IndexTTS-2?");
  auto names = std::make_shared<DerivedTensors>(source);
  for (TensorView view : source->tensors()) {
    if (!view.name.starts_with(prefix)) continue;
    view.name.erase(0, prefix.size());
    if (foreign(view.name)) continue;
    if (const size_t at = view.name.find(kBaseLayer); at != std::string::npos)
      view.name.replace(at, kBaseLayer.size(), ".");
    names->keep(view);
  }
  names->finish();
  return names;
}

UnifiedVoice load_gpt(const std::shared_ptr<const TensorFile>& file, const GptConfig& config,
                      double dropout, torch::Device device, torch::Dtype dtype) {
  UnifiedVoice model(config, dropout);
  LoadOptions options;
  options.device = device;
  options.dtype = dtype;
  options.skip = kEncoders;
  load_strict(*model, file, options);
  return model;
}

Conditioner load_conditioner(const std::shared_ptr<const TensorFile>& file, const GptConfig& config,
                             torch::Device device) {
  Conditioner model(config);
  LoadOptions options;
  options.device = device;
  options.skip = kLanguageModel;
  load_strict(*model, file, options);
  model->eval();
  return model;
}

}  // namespace ttsft::indextts2
