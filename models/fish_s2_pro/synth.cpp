#include "models/fish_s2_pro/synth.h"

#include "ttsft/audio/audio.h"
#include "ttsft/audio/sinc_resample.h"
#include "ttsft/core/error.h"
#include "ttsft/core/strings.h"
#include "ttsft/model/merge_adapter.h"
#include "ttsft/text/python_string.h"

namespace ttsft::fish_s2_pro {
namespace {

void refuse_control_tokens(const std::string& text, const std::string& where) {
  const std::vector<std::string> found = control_tokens_in(text);
  if (found.empty()) return;
  throw UsageError(
      "the text spells control tokens: " + join(found, ", "), where,
      "leave them out; <|speaker:N|>, <|phoneme_start|> and <|phoneme_end|> may stand");
}

}  // namespace

SpeechSynthesizer::SpeechSynthesizer(const ModelContext& context, const CheckpointRef& checkpoint,
                                     double lora_scale)
    : run_(context.config),
      options_(static_cast<const Options&>(*context.config.model_options)),
      context_(context),
      checkpoint_(checkpoint),
      lora_scale_(lora_scale),
      base_(base_folder(run_, checkpoint)),
      config_(read_config(base_)),
      tokenizer_(base_),
      acoustic_(load_codec(base_, context.device)) {}

std::vector<std::string> SpeechSynthesizer::segments(const std::string& text) const {
  std::string words = spelled_tags(text);
  refuse_control_tokens(words, "--text");
  if (options_.speaker_tag) words = with_speaker_tag(words);
  return turn_batches(words, options_.chunk_length, /*keep_lead=*/true);
}

void SpeechSynthesizer::load() {
  if (lm_) return;
  const c10::InferenceMode inference;
  DualAr model = load_dual_ar(base_, config_, context_.device, context_.dtype);
  model->eval();
  wear_adapter(*model, checkpoint_, lora_scale_, context_.device, context_.dtype);
  lm_ = std::make_unique<DualArLm>(model, tokenizer_, tensor_options());
  read_reference();
}

void SpeechSynthesizer::read_reference() {
  if (run_.data.reference.file.empty()) return;
  const std::string text = spelled_tags(std::string(strip(options_.reference_text)));
  if (text.empty())
    throw UsageError("a voice reference needs its words", "fish-s2-pro.reference_text",
                     "write what is said in data.reference, or remove data.reference");
  refuse_control_tokens(text, "fish-s2-pro.reference_text");
  const Audio audio = decode_audio(run_.data.reference.file).audio;
  const std::vector<float> wave =
      resample_sinc(audio.samples, audio.sample_rate, kCodecRate, KernelPrecision::kFloat);
  const torch::Tensor samples = torch::tensor(wave).to(context_.device);
  references_ = {{text, acoustic_.codec()->encode({samples}).front()}};
}

torch::TensorOptions SpeechSynthesizer::tensor_options() const {
  return torch::TensorOptions().device(context_.device).dtype(context_.dtype);
}

DecodingPlan SpeechSynthesizer::plan(const DecodeOptions& options) {
  const SynthConfig& synth = run_.synth;
  SamplingOptions sampling = fish_sampling(synth.temperature, synth.top_p, synth.top_k);
  sampling.greedy = options.greedy;
  lm_->set_sampling(sampling);
  return decoding_plan(sampling, tokenizer_.semantic_codes(), options.max_frames);
}

RowPrompt SpeechSynthesizer::prompt(const std::string& segment, uint64_t seed,
                                    std::span<const SpokenSegment> earlier) {
  const c10::InferenceMode inference;
  PromptBuilder builder(tokenizer_);
  builder.system(references_);
  for (const SpokenSegment& turn : earlier) {
    builder.user(turn.text);
    builder.assistant();
    if (turn.codes.numel() > 0) builder.frames(turn.codes);
    builder.end_of_message();
  }
  builder.user(segment);
  builder.assistant();
  RowPrompt prompt = lm_->prompt(builder.take(), segment);
  prompt.seed = seed;
  return prompt;
}

RecordedDraws SpeechSynthesizer::recorded(const Noise& noise) const {
  return recorded_draws(noise, tokenizer_, config_);
}

}  // namespace ttsft::fish_s2_pro
