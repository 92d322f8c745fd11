#include "models/qwen3_tts/generate.h"

#include <algorithm>
#include <limits>

#include "models/qwen3_tts/objective.h"
#include "ttsft/nn/left_padding.h"
#include "ttsft/nn/rng.h"

namespace ttsft::qwen3_tts {
namespace {

constexpr double kNever = -std::numeric_limits<double>::infinity();
constexpr int64_t kMinimumFrames = 2;     // upstream's min_new_tokens: the end is not chosen before
constexpr int64_t kSuppressedIds = 1024;  // the last ids of the codec vocabulary are not codes

}  // namespace

PromptTensors build_prompt(Talker& talker, const Config& config, const PromptParts& parts) {
  const torch::Device device = talker->codec_head->weight.device();
  const auto ids = [&](const std::vector<int64_t>& values) {
    return torch::tensor(values, torch::kInt64).to(device);
  };
  const torch::Tensor special = talker->text(
      ids({config.tts_bos_token_id, config.tts_eos_token_id, config.tts_pad_token_id}));
  const torch::Tensor bos = special.narrow(0, 0, 1), eos = special.narrow(0, 1, 1),
                      pad = special.narrow(0, 2, 1);  // [1, H]
  const TalkerConfig& c = config.talker;

  // Codec prefix: tags, speaker, codec_pad | codec_bos.
  std::vector<torch::Tensor> prefix = {talker->codec(ids(codec_tags(c, parts.language)))};
  if (parts.speaker.defined())
    prefix.push_back(parts.speaker.to(device, prefix[0].scalar_type()).view({1, -1}));
  const torch::Tensor codec_pad = talker->codec(ids({c.codec_pad_id})),
                      codec_bos = talker->codec(ids({c.codec_bos_id}));
  const torch::Tensor opening = torch::cat(prefix);  // [K - 2, H]

  std::vector<torch::Tensor> prefill;
  if (!parts.instruct.empty()) prefill.push_back(talker->text(ids(parts.instruct)));
  prefill.push_back(talker->text(ids(parts.role)));
  prefill.push_back(pad + opening);
  prefill.push_back(bos + codec_pad);

  const torch::Tensor text = talker->text(ids(parts.text));  // [n, H]
  torch::Tensor trailing = pad;
  if (parts.reference_codes.defined()) {
    const torch::Tensor frames = talker->frames(parts.reference_codes.to(device));
    const torch::Tensor a =
        torch::cat({talker->text(ids(parts.reference_text)), text, eos});  // [a, H]
    const torch::Tensor b = torch::cat({codec_bos, frames});               // [b, H]
    const int64_t na = a.size(0), nb = b.size(0);
    if (!parts.text_streaming) {
      prefill.push_back(a + codec_pad);
      prefill.push_back(b + pad);
    } else if (na > nb) {
      prefill.push_back(a.narrow(0, 0, nb) + b);
      trailing = a.narrow(0, nb, na - nb);
    } else {
      prefill.push_back(torch::cat({a, pad.expand({nb - na, -1})}) + b);
    }
  } else if (parts.text_streaming) {
    prefill.push_back(text.narrow(0, 0, 1) + codec_bos);
    trailing = torch::cat({text.narrow(0, 1, text.size(0) - 1), eos});
  } else {
    prefill.push_back(text + codec_pad);
    prefill.push_back(eos + codec_pad);
    prefill.push_back(pad + codec_bos);
  }
  return {torch::cat(prefill), trailing};
}

FrameGenerator::FrameGenerator(Talker talker, const Config& config, torch::Device device,
                               torch::Dtype dtype)
    : talker_(std::move(talker)),
      config_(config),
      tensor_options_(torch::TensorOptions().device(device).dtype(dtype)) {
  const int64_t vocabulary = config.talker.vocab_size;
  suppressed_ = torch::zeros({vocabulary}, torch::TensorOptions().dtype(torch::kBool));
  suppressed_
      .narrow(0, std::max<int64_t>(0, vocabulary - kSuppressedIds),
              std::min(kSuppressedIds, vocabulary))
      .fill_(true);
  suppressed_[config.talker.codec_eos_token_id] = false;
  suppressed_ = suppressed_.to(device);
}

void FrameGenerator::begin(const std::vector<PromptTensors>& prompts,
                           const std::vector<uint64_t>& seeds, const GenerateOptions& options) {
  options_ = options;
  const auto batch = static_cast<int64_t>(prompts.size());
  int64_t trail = 0;
  std::vector<torch::Tensor> rows;
  generators_.clear();
  for (size_t row = 0; row < prompts.size(); ++row) {
    rows.push_back(prompts[row].prefill);
    trail = std::max(trail, prompts[row].trailing.size(0));
    generators_.push_back(make_generator(tensor_options_.device(), seeds.at(row)));
  }
  pad_ =
      talker_
          ->text(
              torch::tensor({config_.tts_pad_token_id}, torch::kInt64).to(tensor_options_.device()))
          .squeeze(0);
  trailing_ = pad_.view({1, 1, -1}).repeat({batch, trail, 1});
  for (int64_t row = 0; row < batch; ++row) {
    const torch::Tensor& own = prompts[static_cast<size_t>(row)].trailing;
    trailing_[row].narrow(0, 0, own.size(0)).copy_(own);
  }
  const LeftPadded padded = pad_left(rows, options.max_frames, tensor_options_);
  lengths_ = padded.lengths;
  mask_ = padded.mask;
  cache_ = talker_->model->make_cache(batch, padded.inputs.size(1) + options.max_frames,
                                      tensor_options_);
  const auto& predictor = talker_->code_predictor->model;
  predictor_cache_ = predictor->make_cache(batch, config_.talker.num_code_groups, tensor_options_);

  const auto flags = tensor_options_.dtype(torch::kBool);
  seen_ = torch::zeros({batch, config_.talker.vocab_size}, flags);
  finished_ = torch::zeros({batch}, flags);
  frames_.clear();
  ended_.clear();
  next_input_ = torch::Tensor();
  look(talker_->model->forward(padded.inputs, padded.positions, padded.prefill_mask, &*cache_));
}

void FrameGenerator::look(const torch::Tensor& output) {
  hidden_ = talker_->model->norm(output.select(1, output.size(1) - 1));  // [B, H]
  logits_ = talker_->codec_head(hidden_).to(torch::kFloat32);            // [B, V]
}

void FrameGenerator::step() {
  const auto frame = static_cast<int64_t>(frames_.size());
  if (next_input_.defined()) {
    const int64_t filled = cache_->length();
    torch::Tensor positions, mask;
    if (mask_.defined()) {
      positions = (lengths_ + frame - 1).unsqueeze(1);  // [B, 1]
      mask = mask_.narrow(3, 0, filled + 1);
    }
    look(talker_->model->forward(next_input_, positions, mask, &*cache_));
  }
  const torch::Tensor first = pick_first();
  finished_ = finished_ | (first == config_.talker.codec_eos_token_id);
  ended_.push_back(finished_);
  // A row that has ended goes on with some valid code; nobody reads it.
  const torch::Tensor code = torch::where(finished_, torch::zeros_like(first), first);
  frames_.push_back(pick_rest(code));
  const torch::Tensor extra =
      frame < trailing_.size(1) ? trailing_.select(1, frame) : pad_.unsqueeze(0);
  next_input_ = (talker_->frames(frames_.back()) + extra).unsqueeze(1);  // [B, 1, H]
}

torch::Tensor FrameGenerator::pick_first() {
  torch::Tensor scores = logits_.clone();
  apply_repetition_penalty(scores, seen_, options_.repetition_penalty);
  torch::Tensor banned = suppressed_;
  if (static_cast<int64_t>(frames_.size()) < kMinimumFrames) {
    banned = banned.clone();
    banned.narrow(0, config_.talker.codec_eos_token_id, 1).fill_(true);
  }
  scores.masked_fill_(banned.unsqueeze(0), kNever);
  const torch::Tensor first = pick_tokens(scores, options_.talker, generators_);  // [B]
  seen_.scatter_(1, first.unsqueeze(1), true);
  return first;
}

torch::Tensor FrameGenerator::pick_rest(const torch::Tensor& first) {
  auto& predictor = talker_->code_predictor;
  predictor_cache_->reset();
  std::vector<torch::Tensor> codes = {first};
  // Indices 0 and 1 go in together; index i then yields codebook i.
  torch::Tensor input = torch::stack({hidden_, talker_->codec(first)}, 1);  // [B, 2, H]
  const auto groups = static_cast<size_t>(config_.talker.num_code_groups);
  for (size_t i = 1; i < groups; ++i) {
    const torch::Tensor output =
        predictor->model->forward(predictor->project(input), {}, {}, &*predictor_cache_);
    const torch::Tensor last = predictor->model->norm(output.select(1, output.size(1) - 1));
    const torch::Tensor scores = predictor->lm_head[i - 1](last).to(torch::kFloat32);
    codes.push_back(pick_tokens(scores, options_.sub_talker, generators_));
    if (i + 1 < groups) input = predictor->model->codec_embedding[i - 1](codes.back()).unsqueeze(1);
  }
  return torch::stack(codes, 1);  // [B, 16]
}

std::vector<torch::Tensor> FrameGenerator::codes() const {
  const int64_t batch = finished_.size(0);
  if (frames_.empty())
    return std::vector<torch::Tensor>(
        static_cast<size_t>(batch),
        torch::empty({0, config_.talker.num_code_groups}, torch::kInt64));
  const torch::Tensor all = torch::stack(frames_, 1).to(torch::kCPU);  // [B, F, 16]
  const torch::Tensor lengths = torch::stack(ended_, 1).logical_not().sum(1).to(torch::kCPU);
  std::vector<torch::Tensor> rows;
  for (int64_t row = 0; row < batch; ++row)
    rows.push_back(all[row].narrow(0, 0, lengths[row].item<int64_t>()).contiguous());
  return rows;
}

}  // namespace ttsft::qwen3_tts
