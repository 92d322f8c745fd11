#include "models/indextts2/weights.h"

#include <algorithm>

#include "models/indextts2/vocabulary.h"
#include "ttsft/core/error.h"
#include "ttsft/io/atomic_file.h"
#include "ttsft/io/torch_file.h"
#include "ttsft/model/link_release.h"
#include "ttsft/nn/weights.h"
#include "ttsft/text/sentence_piece.h"

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

// A tensor's upstream name; "" for one that is not of the model.
std::string upstream_name(const std::string& name) {
  const bool foreign = name.starts_with("inference_model.") || name == "gpt.wte.weight" ||
                       name.find(".lora_") != std::string::npos;
  if (foreign) return "";
  const size_t at = name.find(kBaseLayer);
  if (at == std::string::npos) return name;
  return name.substr(0, at + 1) + name.substr(at + kBaseLayer.size());
}

// Upstream names in the order in which the file was saved.
std::vector<std::string> saved_order(const std::filesystem::path& path, const TensorFile& names) {
  std::vector<std::string> order;
  if (path.extension() != ".safetensors") {
    const auto file = TorchFile::open(path);
    const TorchValue* wrapped = file->root().find("model");
    const TorchValue& root = wrapped && wrapped->dict() ? *wrapped : file->root();
    for (const TorchValue::Entry& entry : *root.dict()) {
      const std::string name = upstream_name(entry.first);
      if (names.find(name)) order.push_back(name);
    }
  }
  if (order.size() != names.tensors().size()) {
    order.clear();
    for (const TensorView& view : names.tensors()) order.push_back(view.name);
  }
  return order;
}

DType precision_of(GptPrecision precision, const TensorView& view) {
  if (precision == GptPrecision::kKeep || !c10::isFloatingType(to_torch(view.dtype)))
    return view.dtype;
  return precision == GptPrecision::kFloat16 ? DType::kF16 : DType::kF32;
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
    view.name = upstream_name(view.name.substr(prefix.size()));
    if (!view.name.empty()) names->keep(view);
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

bool is_encoder_tensor(const std::string& name) {
  return std::any_of(kEncoders.begin(), kEncoders.end(),
                     [&](const auto& entry) { return name.starts_with(entry.first); });
}

void write_release(const Config& base, const std::filesystem::path& out,
                   const WeightChanges& changes, GptPrecision precision,
                   const std::filesystem::path& vocabulary, Rounding* rounding) {
  const auto file = open_gpt(base.gpt_file);
  const int64_t pieces = vocabulary.empty() ? 0 : SentencePiece::from_file(vocabulary).size();
  std::vector<WrittenTensor> tensors;
  for (const std::string& name : saved_order(base.gpt_file, *file)) {
    const TensorView& view = file->at(name);
    tensors.push_back({view, name, precision_of(precision, view)});
    if (!is_text_table(name)) continue;
    std::vector<int64_t> shape = view.shape;  // a longer vocabulary has grown it
    shape.at(0) = std::max(shape.at(0), text_rows(pieces));
    tensors.back().shape = shape;
  }
  const std::filesystem::path name = base.gpt_file.lexically_relative(base.folder);
  const std::filesystem::path tokenizer = base.bpe_model.lexically_relative(base.folder);
  const std::filesystem::path yaml = "config.yaml";
  std::filesystem::create_directories(out);
  link_release(base.folder, out, [&](const std::filesystem::path& path) {
    return path == name || (!vocabulary.empty() && (path == tokenizer || path == yaml));
  });
  if (!vocabulary.empty()) {
    link_or_copy(vocabulary, out / tokenizer);
    write_text_atomic(out / yaml, with_text_tokens(read_text(base.folder / yaml), pieces));
  }
  write_weights(out / name, tensors, changes, rounding);
}

}  // namespace ttsft::indextts2
