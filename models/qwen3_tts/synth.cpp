#include "models/qwen3_tts/synth.h"

#include "models/qwen3_tts/codec_encoder.h"
#include "ttsft/audio/audio.h"
#include "ttsft/core/error.h"
#include "ttsft/core/log.h"
#include "ttsft/core/strings.h"
#include "ttsft/model/merge_adapter.h"
#include "ttsft/nn/weights.h"
#include "ttsft/text/split.h"

namespace ttsft::qwen3_tts {
namespace {

// An adapter of a fine-tuning brings its speakers: with them the base counts as a custom-voice
// model.
Config with_voices(Config config, const AdapterVoices& voices) {
  for (const auto& [name, row] : voices.rows) {
    if (row < 0 || row >= config.talker.vocab_size)
      throw DataError(
          "row " + std::to_string(row) + " of speaker '" + name + "' is outside codec_embedding",
          "config.json of the adapter");
    config.talker.spk_id[name] = row;
  }
  if (!voices.rows.empty()) config.variant = Variant::kCustomVoice;
  return config;
}

}  // namespace

SpeechSynthesizer::SpeechSynthesizer(const ModelContext& context, const CheckpointRef& checkpoint,
                                     double lora_scale)
    : run_(context.config),
      options_(static_cast<const Options&>(*context.config.model_options)),
      checkpoint_(checkpoint),
      lora_scale_(lora_scale),
      base_(base_folder(run_, checkpoint)),
      device_(context.device),
      dtype_(context.dtype),
      config_(read_config(base_)),
      voices_(checkpoint.kind == CheckpointKind::kAdapter ? load_adapter_voices(checkpoint.folder)
                                                          : AdapterVoices{}),
      text_(base_, config_, options_.split_pattern) {
  config_ = with_voices(config_, voices_);
  codec_weights_ =
      std::make_shared<SafetensorsReader>(SafetensorsReader::open(base_ / "speech_tokenizer"));
  acoustic_ = std::make_unique<Acoustic>(codec_weights_, config_.codec, device_);
  weights_ = std::make_shared<SafetensorsReader>(SafetensorsReader::open(base_));
}

std::vector<std::string> SpeechSynthesizer::segments(const std::string& text) const {
  if (options_.segments == "whole") return {text};
  return pack_pieces(split_sentences(text), static_cast<int>(options_.segment_characters));
}

void SpeechSynthesizer::load() {
  if (model_) return;
  c10::InferenceMode inference;
  model_ = load_talker(weights_, config_, device_, dtype_);
  model_->eval();
  wear_adapter(*model_, checkpoint_, lora_scale_, device_, dtype_);
  if (!voices_.speakers.empty()) {
    torch::Tensor table = model_->talker->model->codec_embedding->weight
                              .clone();  // the original may be a mapped file
    for (const auto& [name, vector] : voices_.speakers) table[voices_.rows.at(name)].copy_(vector);
    model_->talker->model->codec_embedding->weight.set_data(table);
  }
  lm_ = std::make_unique<TalkerLm>(model_->talker, config_, tensor_options());
  resolve_voice();
}

Mode SpeechSynthesizer::resolve_mode() const {
  const std::string& mode = options_.mode;
  if (mode == "clone") return Mode::kClone;
  if (mode == "icl") return Mode::kInContext;
  if (mode == "custom_voice") return Mode::kCustomVoice;
  if (mode == "voice_design") return Mode::kVoiceDesign;
  if (config_.variant == Variant::kCustomVoice) return Mode::kCustomVoice;
  if (config_.variant == Variant::kVoiceDesign) return Mode::kVoiceDesign;
  return options_.reference_text.empty() ? Mode::kClone : Mode::kInContext;
}

int64_t SpeechSynthesizer::resolve_language(const std::string& speaker) const {
  const TalkerConfig& c = config_.talker;
  std::string language = to_lower_ascii(options_.language);
  // A speaker of a dialect speaks it unless another language is asked for.
  const auto dialect = c.spk_is_dialect.find(speaker);
  if ((language == "auto" || language == "chinese") && dialect != c.spk_is_dialect.end())
    language = dialect->second;
  if (language == "auto") return -1;
  if (const auto id = c.language_id(language)) return *id;
  throw UsageError("unknown language '" + options_.language + "'", "qwen3-tts.language",
                   "known: " + c.language_names());
}

void SpeechSynthesizer::read_reference() {
  if (run_.data.reference.file.empty())
    throw UsageError("no voice reference", "data.reference",
                     "name a recording of the voice, or use mode: custom_voice");
  if (!weights_->find("speaker_encoder.fc.weight"))
    throw DataError("this checkpoint has no speaker encoder, so it cannot clone", base_.string(),
                    "use mode: custom_voice, or train with keep_speaker_encoder: true");
  parts_.speaker = SpeakerReader(base_, config_, device_).read(run_.data.reference.file);
}

void SpeechSynthesizer::resolve_voice() {
  const Mode mode = resolve_mode();
  parts_.role = text_.role();
  std::string speaker;
  if (mode == Mode::kClone || mode == Mode::kInContext) read_reference();
  if (mode == Mode::kInContext) {
    if (options_.reference_text.empty())
      throw UsageError("mode icl needs the words of the reference", "qwen3-tts.reference_text",
                       "write what is said in data.reference, or use mode: clone");
    std::vector<float> wave = at_rate(decode_audio(run_.data.reference.file).audio,
                                      static_cast<int>(config_.codec.input_sample_rate));
    CodecEncoder encoder = load_codec_encoder(codec_weights_, config_.codec, device_);
    const torch::Tensor samples =
        torch::from_blob(wave.data(), {1, static_cast<int64_t>(wave.size())}).to(device_);
    parts_.reference_codes = encoder->encode(samples, {static_cast<int64_t>(wave.size())}).front();
    parts_.reference_text = text_.reference(options_.reference_text);
  }
  if (mode == Mode::kCustomVoice) {
    const TalkerConfig& c = config_.talker;
    speaker = to_lower_ascii(run_.data.speaker);
    if (speaker.empty() && c.spk_id.size() == 1) speaker = c.spk_id.begin()->first;
    const auto row = c.spk_id.find(speaker);
    if (row == c.spk_id.end()) {
      std::vector<std::string> known;
      for (const auto& [name, id] : c.spk_id) known.push_back(name);
      const std::string remedy =
          known.empty() ? "this checkpoint names no speakers; use mode: clone with data.reference"
                        : "known: " + join(known, ", ");
      throw UsageError(
          speaker.empty() ? "no speaker is named" : "unknown speaker '" + speaker + "'",
          "data.speaker", remedy);
    }
    parts_.speaker =
        model_->talker->codec(torch::tensor({row->second}, torch::kInt64).to(device_)).squeeze(0);
  }
  const std::string& instruct = options_.instruct.empty() ? run_.data.instruct : options_.instruct;
  if (!instruct.empty() && mode == Mode::kCustomVoice && config_.model_size == "0b6") {
    log_warning("the 0.6B model ignores instruct, as upstream's does");
  } else if (!instruct.empty() && (mode == Mode::kClone || mode == Mode::kInContext)) {
    log_warning("cloning takes no instruct; it is ignored");
  } else if (!instruct.empty()) {
    parts_.instruct = text_.instruct(instruct);
  } else if (mode == Mode::kVoiceDesign) {
    throw UsageError("mode voice_design needs a description of the voice", "qwen3-tts.instruct",
                     "for example: a calm old man");
  }
  parts_.language = resolve_language(speaker);
  const bool cloning = mode == Mode::kClone || mode == Mode::kInContext;
  parts_.text_streaming =
      options_.text_streaming == "auto" ? cloning : options_.text_streaming == "true";
}

torch::TensorOptions SpeechSynthesizer::tensor_options() const {
  return torch::TensorOptions().device(device_).dtype(dtype_);
}

RowPrompt SpeechSynthesizer::prompt(const std::string& segment, uint64_t seed,
                                    std::span<const SpokenSegment> /*earlier*/) {
  c10::InferenceMode inference;
  PromptParts parts = parts_;
  parts.text = text_.speech(segment);
  RowPrompt prompt = build_prompt(model_->talker, config_, parts);
  prompt.seed = seed;
  return prompt;
}

DecodingPlan SpeechSynthesizer::plan(const DecodeOptions& options) {
  // What the run file says wins, then the release's generation_config.json, then our defaults.
  const auto pick = [this](const char* key, auto ours, auto released) {
    return run_.given.count(key) ? ours : released;
  };
  const SynthConfig& s = run_.synth;
  const Options& o = options_;
  const Config::Generation& g = config_.generation;
  GenerateOptions generate;
  generate.talker = {
      options.greedy || !g.do_sample, pick("synth.temperature", s.temperature, g.temperature),
      pick("synth.top_k", s.top_k, g.top_k), pick("synth.top_p", s.top_p, g.top_p), s.min_p};
  generate.sub_talker = {
      options.greedy ||
          !pick("qwen3-tts.subtalker_sample", o.subtalker_sample, g.subtalker_dosample),
      pick("qwen3-tts.subtalker_temperature", o.subtalker_temperature, g.subtalker_temperature),
      pick("qwen3-tts.subtalker_top_k", o.subtalker_top_k, g.subtalker_top_k),
      pick("qwen3-tts.subtalker_top_p", o.subtalker_top_p, g.subtalker_top_p), 0.0};
  generate.repetition_penalty =
      pick("synth.repetition_penalty", s.repetition_penalty, g.repetition_penalty);
  generate.max_frames = options.max_frames;
  lm_->set_sub_talker(generate.sub_talker);
  return decoding_plan(config_, generate, device_);
}

std::vector<AcousticRow> SpeechSynthesizer::acoustic_rows(std::span<const SpokenSegment> segments) {
  std::vector<AcousticRow> rows = Synthesizer::acoustic_rows(segments);
  for (AcousticRow& row : rows) row.lead = parts_.reference_codes;
  return rows;
}

}  // namespace ttsft::qwen3_tts
