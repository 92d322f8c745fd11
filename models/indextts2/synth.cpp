#include "models/indextts2/synth.h"

#include "models/indextts2/weights.h"
#include "ttsft/core/error.h"
#include "ttsft/io/torch_file.h"
#include "ttsft/model/merge_adapter.h"
#include "ttsft/model/text_checks.h"

namespace ttsft::indextts2 {
namespace {

// A complete checkpoint speaks with its own tokenizer, extended or not.
TextOptions text_options(const Config& config, const Options& options) {
  TextOptions text = options.text();
  text.tokenizer = config.bpe_model.lexically_relative(config.folder);
  return text;
}

}  // namespace

SpeechSynthesizer::SpeechSynthesizer(const ModelContext& context, const CheckpointRef& checkpoint,
                                     double lora_scale)
    : run_(context.config),
      options_(static_cast<const Options&>(*context.config.model_options)),
      checkpoint_(checkpoint),
      lora_scale_(lora_scale),
      device_(context.device),
      dtype_(context.dtype),
      config_(read_config(base_folder(run_, checkpoint))),
      text_(config_.folder, text_options(config_, options_)) {
  if (run_.data.reference.file.empty())
    throw UsageError("no voice", "data.reference", "name a recording of it, 3 to 8 s are best");
  c10::InferenceMode inference;
  RepCodec codec = load_repcodec(open_tensor_file(locate(config_, Auxiliary::kSemanticCodec)),
                                 config_.semantic_codec, device_);
  S2Mel s2mel(config_, device_);
  voice_ = make_voice(config_, options_, run_.data.reference.file, static_cast<uint64_t>(run_.seed),
                      codec, s2mel, device_);
  acoustic_ = std::make_unique<Acoustic>(config_, options_, codec, s2mel, voice_.mel, device_);
}

std::vector<std::string> SpeechSynthesizer::segments(const std::string& text) const {
  std::vector<std::string> words;
  for (const Segment& segment : text_.segments(text, options_.segments())) {
    words.push_back(segment.text());
    segment_ids_[words.back()] = segment.ids;
  }
  return words;
}

void SpeechSynthesizer::load() {
  if (lm_) return;
  c10::InferenceMode inference;
  model_ = load_gpt(open_gpt(config_.gpt_file), config_.gpt, /*dropout=*/0.0, device_, dtype_);
  model_->eval();
  wear_adapter(*model_, checkpoint_, lora_scale_, device_, dtype_);
  lm_ = std::make_unique<GptLm>(
      model_, config_.gpt, tensor_options(),
      options_.mel_positions == "training" ? MelPositions::kTraining : MelPositions::kUpstream);
}

torch::TensorOptions SpeechSynthesizer::tensor_options() const {
  return torch::TensorOptions().device(device_).dtype(dtype_);
}

SpeechPrompt SpeechSynthesizer::speech_prompt(const std::string& segment) const {
  const auto known = segment_ids_.find(segment);
  std::vector<int64_t> ids = known != segment_ids_.end() ? known->second : text_.encode(segment);
  check_piece(std::ssize(ids), config_.gpt.max_text_tokens, "indextts2.segment_tokens");
  return {voice_.condition, voice_.emotion, std::move(ids)};
}

RowPrompt SpeechSynthesizer::prompt(const std::string& segment, uint64_t seed,
                                    std::span<const SpokenSegment> /*earlier*/) {
  c10::InferenceMode inference;
  const SpeechPrompt spoken = speech_prompt(segment);
  check_spoken(segment, text_.unknown_share(spoken.text),
               {config_.gpt.max_text_tokens, "<unk>",
                "extend the tokenizer (indextts2.extend_vocabulary), or correct the text"},
               run_.data.guards);
  RowPrompt prompt = lm_->prompt(spoken);
  prompt.seed = seed;
  return prompt;
}

DecodingPlan SpeechSynthesizer::plan(const DecodeOptions& options) {
  const SynthConfig& s = run_.synth;
  GenerateOptions generate;
  generate.sampling.greedy = options.greedy;
  generate.sampling.temperature = s.temperature;
  generate.sampling.top_k = s.top_k;
  generate.sampling.top_p = s.top_p;
  generate.sampling.min_p = s.min_p;
  // --greedy means the likeliest code each time; a search is asked for by its width.
  generate.beams = options.greedy && !run_.given.contains("synth.beams") ? 1 : s.beams;
  generate.repetition_penalty = s.repetition_penalty;
  generate.length_penalty = s.length_penalty;
  generate.max_codes = options.max_frames;
  return decoding_plan(config_.gpt, generate);
}

std::vector<AcousticRow> SpeechSynthesizer::acoustic_rows(std::span<const SpokenSegment> segments) {
  c10::InferenceMode inference;
  std::vector<SpeechPrompt> prompts;
  std::vector<torch::Tensor> codes;
  for (const SpokenSegment& segment : segments) {
    prompts.push_back(speech_prompt(segment.text));
    codes.push_back(segment.codes);
  }
  const std::vector<torch::Tensor> states = code_latents(model_, config_.gpt, prompts, codes);
  std::vector<AcousticRow> rows = Synthesizer::acoustic_rows(segments);
  for (size_t i = 0; i < rows.size(); ++i) rows[i].states = states[i];
  return rows;
}

}  // namespace ttsft::indextts2
