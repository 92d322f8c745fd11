#include "models/qwen3_tts/generate.h"

#include <algorithm>

#include "models/qwen3_tts/objective.h"

namespace ttsft::qwen3_tts {
namespace {

constexpr int64_t kMinimumFrames = 2;     // upstream's min_new_tokens: the end is not chosen before
constexpr int64_t kSuppressedIds = 1024;  // the last ids of the codec vocabulary are not codes

}  // namespace

RowPrompt build_prompt(Talker& talker, const Config& config, const PromptParts& parts) {
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
      trailing = torch::cat({a.narrow(0, nb, na - nb), pad});
    } else {
      prefill.push_back(torch::cat({a, pad.expand({nb - na, -1})}) + b);
    }
  } else if (parts.text_streaming) {
    prefill.push_back(text.narrow(0, 0, 1) + codec_bos);
    trailing = torch::cat({text.narrow(0, 1, text.size(0) - 1), eos, pad});
  } else {
    prefill.push_back(text + codec_pad);
    prefill.push_back(eos + codec_pad);
    prefill.push_back(pad + codec_bos);
  }
  RowPrompt prompt;
  prompt.inputs = torch::cat(prefill);
  prompt.trailing = trailing;
  return prompt;
}

DecodingPlan decoding_plan(const Config& config, const GenerateOptions& options,
                           torch::Device device) {
  const int64_t vocabulary = config.talker.vocab_size, end = config.talker.codec_eos_token_id;
  torch::Tensor allowed = torch::ones({vocabulary}, torch::kBool);
  allowed
      .narrow(0, std::max<int64_t>(0, vocabulary - kSuppressedIds),
              std::min(kSuppressedIds, vocabulary))
      .fill_(false);
  allowed[end] = true;
  DecodingPlan plan;
  plan.sampling = options.talker;
  if (options.repetition_penalty != 1.0)
    plan.rules.push_back(repetition_penalty(options.repetition_penalty));
  plan.rules.push_back(allowed_ids(allowed.to(device)));
  plan.rules.push_back(no_end_before(kMinimumFrames, {end}));
  plan.end = {end};
  plan.max_frames = options.max_frames;
  return plan;
}

TalkerLm::TalkerLm(Talker talker, const Config& config, torch::TensorOptions options)
    : talker_(std::move(talker)), config_(config), options_(options) {
  set_sub_talker({});
}

KvCache TalkerLm::make_cache(int64_t rows, int64_t capacity) const {
  return talker_->model->make_cache(rows, capacity, options_);
}

torch::Tensor TalkerLm::forward(const torch::Tensor& x, KvCache& cache) {
  return talker_->model->forward(x, {}, {}, &cache);
}

torch::Tensor TalkerLm::norm(const torch::Tensor& hidden) {
  return talker_->model->norm(hidden);
}

torch::Tensor TalkerLm::logits(const torch::Tensor& state) {
  return talker_->codec_head(state).to(torch::kFloat32);
}

torch::Tensor TalkerLm::embed(const torch::Tensor& frame, const torch::Tensor& /*number*/) {
  return talker_->frames(frame);
}

int64_t TalkerLm::levels() const {
  return config_.talker.num_code_groups;
}

int64_t TalkerLm::vocabulary() const {
  return config_.talker.code_predictor.vocab_size;
}

KvCache TalkerLm::make_cache(int64_t rows) const {
  return talker_->code_predictor->model->make_cache(rows, levels(), options_);
}

torch::Tensor TalkerLm::start(const torch::Tensor& state, const torch::Tensor& first) {
  return talker_->code_predictor->project(torch::stack({state, talker_->codec(first)}, 1));
}

torch::Tensor TalkerLm::embed(int64_t level, const torch::Tensor& codes) {
  auto& predictor = talker_->code_predictor;
  const auto table = static_cast<size_t>(level) - 1;
  return predictor->project(predictor->model->codec_embedding[table](codes).unsqueeze(1));
}

torch::Tensor TalkerLm::depth(const torch::Tensor& x, KvCache& cache) {
  auto& model = talker_->code_predictor->model;
  return model->norm(model->forward(x, {}, {}, &cache).select(1, x.size(1) - 1));
}

torch::Tensor TalkerLm::logits(int64_t level, const torch::Tensor& hidden) {
  return talker_->code_predictor->lm_head[static_cast<size_t>(level) - 1](hidden).to(
      torch::kFloat32);
}

}  // namespace ttsft::qwen3_tts
