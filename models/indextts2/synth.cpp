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
  if (run_.data.reference.empty())
    throw UsageError("no voice", "data.reference", "name a recording of it, 3 to 8 s are best");
  c10::InferenceMode inference;
  RepCodec codec = load_repcodec(open_tensor_file(locate(config_, Auxiliary::kSemanticCodec)),
                                 config_.semantic_codec, device_);
  S2Mel s2mel(config_, device_);
  voice_ = make_voice(config_, options_, run_.data.reference, static_cast<uint64_t>(run_.seed),
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
  if (generator_) return;
  c10::InferenceMode inference;
  model_ = load_gpt(open_gpt(config_.gpt_file), config_.gpt, /*dropout=*/0.0, device_, dtype_);
  model_->eval();
  merge_adapter(*model_, checkpoint_, lora_scale_, device_);
  generator_ = std::make_unique<CodeGenerator>(model_, config_.gpt, device_, dtype_);
}

void SpeechSynthesizer::begin(std::span<const Prompt> prompts, const DecodeOptions& options) {
  load();
  prompts_.clear();
  seeds_.clear();
  for (const Prompt& prompt : prompts) {
    const auto known = segment_ids_.find(prompt.text);
    std::vector<int64_t> ids =
        known != segment_ids_.end() ? known->second : text_.encode(prompt.text);
    check_piece(std::ssize(ids), config_.gpt.max_text_tokens, "indextts2.segment_tokens");
    prompts_.push_back({voice_.condition, voice_.emotion, std::move(ids)});
    seeds_.push_back(prompt.seed);
  }
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
  generate.positions =
      options_.mel_positions == "training" ? MelPositions::kTraining : MelPositions::kUpstream;
  c10::InferenceMode inference;
  generator_->begin(prompts_, seeds_, generate);
}

void SpeechSynthesizer::step() {
  c10::InferenceMode inference;
  generator_->step();
}

std::vector<torch::Tensor> SpeechSynthesizer::codes() {
  c10::InferenceMode inference;
  return generator_->codes();
}

std::vector<Audio> SpeechSynthesizer::decode(const std::vector<torch::Tensor>& codes,
                                             bool after_prompt, const Noise& noise) {
  c10::InferenceMode inference;
  std::vector<torch::Tensor> states(codes.size());
  if (after_prompt) states = code_latents(model_, config_.gpt, prompts_, codes);
  std::vector<AcousticRow> rows;
  for (size_t i = 0; i < codes.size(); ++i) {
    rows.emplace_back();
    rows.back().codes = codes[i];
    rows.back().states = states[i];
    rows.back().seed = after_prompt ? seeds_.at(i) : static_cast<uint64_t>(run_.seed);
    if (!noise.empty()) rows.back().noise = &noise;
  }
  std::vector<Audio> audio;
  for (const torch::Tensor& wave : acoustic_->decode(rows)) {
    audio.push_back({{}, acoustic_->sample_rate()});
    audio.back().samples.assign(wave.data_ptr<float>(), wave.data_ptr<float>() + wave.numel());
  }
  return audio;
}

}  // namespace ttsft::indextts2
