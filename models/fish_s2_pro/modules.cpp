#include "models/fish_s2_pro/modules.h"

#include <cmath>

#include "models/fish_s2_pro/blocks.h"
#include "ttsft/core/error.h"
#include "ttsft/io/safetensors.h"
#include "ttsft/io/torch_file.h"
#include "ttsft/nn/weights.h"

namespace ttsft::fish_s2_pro {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kText = "text_model.model.", kAudio = "audio_decoder.";

StackOptions stack_options(const DecoderConfig& c, const Config& config) {
  StackOptions options;
  options.layers = c.layers;
  options.rope_theta = config.rope_base;
  options.rope_layout = RopeLayout::kInterleaved;
  options.rope_bf16_table = true;
  BlockOptions& block = options.block;
  block.hidden = c.dim;
  block.intermediate = c.intermediate;
  block.heads = c.heads;
  block.kv_heads = c.kv_heads;
  block.head_dim = c.head_dim;
  block.norm_eps = config.norm_eps;
  block.qk_norm = c.qk_norm ? QkNorm::kPerHead : QkNorm::kNone;
  block.qkv_bias = c.qkv_bias;
  block.names = block_names();
  return options;
}

std::string short_name(std::string_view release) {
  if (release.starts_with(kText)) return std::string(release.substr(kText.size()));
  if (!release.starts_with(kAudio)) return std::string(release);
  const std::string_view own = release.substr(kAudio.size());
  return own.starts_with("codebook_embeddings.") ? std::string(own) : "fast_" + std::string(own);
}

constexpr std::string_view kQuery = ".attention.wq.";

// Old files hold q, k and v apart; at: of kQuery in the name of q.
void add_joined(const TensorFile& file, const TensorView& q, size_t at, DerivedTensors& made) {
  const auto named = [&](const char* member) {
    std::string name = q.name;
    return name.replace(at, kQuery.size(), std::string(".attention.") + member + ".");
  };
  std::vector<std::byte> bytes;
  Shape shape = q.shape;
  shape[0] = 0;
  for (const char* member : {"wq", "wk", "wv"}) {
    const TensorView& part = file.at(named(member));
    bytes.insert(bytes.end(), part.bytes.begin(), part.bytes.end());
    shape[0] += part.shape.at(0);
  }
  made.add(short_name(named("wqkv")), q.dtype, shape, std::move(bytes));
}

}  // namespace

DualArImpl::DualArImpl(const Config& config) : config_(config) {
  if (config.slow.o_bias || config.fast.o_bias)
    throw DataError("attention_o_bias is not supported", "config.json", "take fishaudio/s2-pro");
  const DecoderConfig &slow = config.slow, &fast = config.fast;
  slow_ = DecoderStack(stack_options(slow, config));
  fast_ = DecoderStack(stack_options(fast, config));
  embeddings = register_module("embeddings", Table(config.vocab_size, slow.dim));
  codebook_embeddings = register_module("codebook_embeddings",
                                        Table(config.codebooks * config.codebook_size, slow.dim));
  register_module("layers", slow_->named_children()["layers"]);
  norm = register_module("norm", RmsNorm(slow.dim, config.norm_eps));
  fast_embeddings = register_module("fast_embeddings", Table(config.codebook_size, fast.dim));
  if (fast.dim != slow.dim)
    fast_project_in = register_module("fast_project_in", Linear(slow.dim, fast.dim, true));
  register_module("fast_layers", fast_->named_children()["layers"]);
  fast_norm = register_module("fast_norm", RmsNorm(fast.dim, config.norm_eps));
  fast_output = register_module("fast_output",
                                Linear(LinearOptions{fast.dim, config.codebook_size, false,
                                                     LinearLayout::kOutIn, LinearRole::kHead}));
}

void DualArImpl::set_activation_checkpointing(bool on) {
  slow_->set_activation_checkpointing(on);
  fast_->set_activation_checkpointing(on);
}

torch::Tensor DualArImpl::frames(const torch::Tensor& tokens, const torch::Tensor& codes,
                                 bool scaled) {
  const torch::Tensor first =
      torch::arange(config_.codebooks, codes.options()) * config_.codebook_size;
  const torch::Tensor sum =
      embeddings(tokens) + codebook_embeddings(codes + first).sum(-2);  // [.., D]
  return scaled ? sum / std::sqrt(static_cast<double>(config_.codebooks + 1)) : sum;
}

torch::Tensor DualArImpl::depth(const torch::Tensor& state, const torch::Tensor& codes) {
  const torch::Tensor before = fast_embeddings(codes.narrow(1, 0, codes.size(1) - 1));
  const torch::Tensor x = torch::cat({project(state).unsqueeze(1), before}, 1);  // [N, 10, D']
  return fast_norm(fast_->forward(x));
}

std::string release_name(const std::string& parameter) {
  if (parameter.starts_with("codebook_embeddings.")) return std::string(kAudio) + parameter;
  if (parameter.starts_with("fast_")) return std::string(kAudio) + parameter.substr(5);
  return std::string(kText) + parameter;
}

std::shared_ptr<const TensorFile> open_weights(const fs::path& checkpoint) {
  const bool flat = fs::exists(checkpoint / "model.pth");
  const std::shared_ptr<const TensorFile> file =
      flat ? open_tensor_file(checkpoint / "model.pth")
           : std::make_shared<SafetensorsReader>(SafetensorsReader::open(checkpoint));
  auto renamed = std::make_shared<DerivedTensors>(file);
  for (TensorView view : file->tensors()) {
    const size_t q = view.name.find(kQuery);
    if (q != std::string::npos) {
      add_joined(*file, view, q, *renamed);
    } else if (view.name.find(".attention.wk.") == std::string::npos &&
               view.name.find(".attention.wv.") == std::string::npos) {
      view.name = short_name(view.name);
      renamed->keep(view);
    }
  }
  renamed->finish();
  return renamed;
}

DualAr load_dual_ar(const fs::path& checkpoint, const Config& config, torch::Device device,
                    torch::Dtype dtype) {
  DualAr model(config);
  load_strict(*model, open_weights(checkpoint), {.device = device, .dtype = dtype});
  return model;
}

}  // namespace ttsft::fish_s2_pro
