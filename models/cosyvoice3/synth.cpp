#include "models/cosyvoice3/synth.h"

#include <algorithm>

#include "models/cosyvoice3/weights.h"
#include "ttsft/core/error.h"
#include "ttsft/core/log.h"
#include "ttsft/model/merge_adapter.h"
#include "ttsft/text/split.h"

namespace ttsft::cosyvoice3 {
namespace {

namespace fs = std::filesystem;

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

SpeechSynthesizer::SpeechSynthesizer(const ModelContext& context, const CheckpointSet& checkpoints,
                                     double lora_scale)
    : run_(context.config),
      options_(static_cast<const Options&>(*context.config.model_options)),
      context_(context),
      checkpoints_(checkpoints),
      lora_scale_(lora_scale),
      base_(base_folder(run_, checkpoints.of("lm"))),
      config_(read_config(base_, options_.talker_file())),
      text_(base_),
      mode_(resolve_mode()),
      voice_(resolve_voice()) {
  const c10::InferenceMode inference;
  const CheckpointRef& own = checkpoints.of("flow");
  const fs::path folder = base_folder(run_, own);
  Flow flow = load_flow(open_tensor_file(folder / kFlowFile), /*dropout=*/0, context.device);
  wear_adapter(*flow, own, lora_scale, context.device, torch::kFloat32);
  acoustic_ = std::make_unique<Acoustic>(
      flow, load_causal_hift(open_tensor_file(folder / "hift.pt"), context.device), voice_.flow,
      AcousticOptions{options_.speed, config_.chunk_codes, options_.mask() == FlowMask::kStreaming},
      context.device);
}

fs::path SpeechSynthesizer::folder_of_voice() const {
  for (const char* stage : {"lm", "flow"}) {
    const CheckpointRef& checkpoint = checkpoints_.of(stage);
    if (contains(stored_voices(checkpoint.folder), run_.data.speaker)) return checkpoint.folder;
  }
  return base_;
}

Mode SpeechSynthesizer::resolve_mode() const {
  const std::string& mode = options_.mode;
  if (mode == "zero_shot") return Mode::kZeroShot;
  if (mode == "instruct2") return Mode::kInstruct;
  if (mode == "cross_lingual") return Mode::kCrossLingual;
  if (mode == "sft") return Mode::kSft;
  const bool stored = contains(stored_voices(folder_of_voice()), run_.data.speaker);
  if (run_.data.reference.file.empty() || (stored && options_.reference_text.empty()))
    return Mode::kSft;
  if (!run_.data.instruct.empty()) return Mode::kInstruct;
  return options_.reference_text.empty() ? Mode::kCrossLingual : Mode::kZeroShot;
}

Voice SpeechSynthesizer::resolve_voice() const {
  const c10::InferenceMode inference;
  const int64_t mels = 80;
  if (mode_ == Mode::kSft) {
    if (run_.data.speaker.empty())
      throw UsageError("no voice", "data.speaker",
                       "name a voice of the checkpoint, or a recording in data.reference");
    return stored_voice(folder_of_voice(), run_.data.speaker, /*vector_only=*/true, mels);
  }
  if (run_.data.reference.file.empty() && mode_ == Mode::kZeroShot && !run_.data.speaker.empty())
    return stored_voice(folder_of_voice(), run_.data.speaker, /*vector_only=*/false, mels);
  if (run_.data.reference.file.empty())
    throw UsageError("no voice reference", "data.reference",
                     "name a recording of the voice, or use mode: sft");
  const bool pinned = options_.speaker_pool == "ort118";
  return voice_of_recording(run_.data.reference.file, base_,
                            pinned ? SegmentMean::kOfAll : SegmentMean::kOfItsFrames,
                            context_.device);
}

std::vector<std::string> SpeechSynthesizer::segments(const std::string& text) const {
  if (options_.normalize == "off") return {text};
  return text_.segments(text, options_.normalize == "words");
}

void SpeechSynthesizer::load() {
  if (lm_) return;
  const c10::InferenceMode inference;
  const CheckpointRef& own = checkpoints_.of("lm");
  Lm lm = load_lm(open_tensor_file(base_ / options_.talker_file()), config_.lm, context_.device,
                  context_.dtype);
  lm->eval();
  wear_adapter(*lm, own, lora_scale_, context_.device, context_.dtype);
  lm_ = std::make_unique<SpeechModel>(
      lm, config_.lm, LengthLimits{options_.min_token_text_ratio, options_.max_token_text_ratio},
      tensor_options());
  const auto codes_of_prompt = [&] {
    const torch::Tensor codes = voice_.flow.prompt_token.contiguous();
    lm_prompt_.codes.assign(codes.data_ptr<int64_t>(), codes.data_ptr<int64_t>() + codes.numel());
  };
  if (!voice_.prompt_text.empty()) {  // a stored prompt
    lm_prompt_.text = voice_.prompt_text;
    codes_of_prompt();
  } else if (mode_ == Mode::kZeroShot) {
    if (options_.reference_text.empty())
      throw UsageError("mode zero_shot needs the words of the reference",
                       "cosyvoice3.reference_text",
                       "write what is said in data.reference, or use mode: cross_lingual");
    lm_prompt_.text = text_.encode(TextFrontend::with_prompt(options_.reference_text));
    codes_of_prompt();
  } else if (mode_ == Mode::kInstruct) {
    if (run_.data.instruct.empty())
      throw UsageError("mode instruct2 needs an instruction", "data.instruct",
                       "for example: Please say a sentence in a very soft voice.");
    lm_prompt_.text = text_.encode(TextFrontend::instruction(run_.data.instruct));
  }
}

torch::TensorOptions SpeechSynthesizer::tensor_options() const {
  return torch::TensorOptions().device(context_.device).dtype(context_.dtype);
}

DecodingPlan SpeechSynthesizer::plan(const DecodeOptions& options) {
  RasConfig ras = config_.ras;
  const SynthConfig& synth = run_.synth;
  if (run_.given.contains("synth.top_p")) ras.top_p = synth.top_p;
  if (run_.given.contains("synth.top_k")) ras.top_k = synth.top_k;
  DecodingPlan plan =
      decoding_plan(config_.lm, ras, options.greedy, options.max_frames, context_.device);
  if (run_.given.contains("synth.temperature")) plan.sampling.temperature = synth.temperature;
  return plan;
}

RowPrompt SpeechSynthesizer::prompt(const std::string& segment, uint64_t seed,
                                    std::span<const SpokenSegment> /*earlier*/) {
  const c10::InferenceMode inference;
  const bool with_prompt = mode_ == Mode::kCrossLingual || mode_ == Mode::kSft;
  const int64_t said = count_characters(options_.reference_text);
  const int64_t to_say = count_characters(segment);
  if (mode_ == Mode::kZeroShot && 2 * to_say < said && !warned_) {
    log_warning("a text of ", to_say, " characters behind a reference of ", said,
                ": words may be lost or come twice; take a shorter reference, or mode: "
                "cross_lingual");
    warned_ = true;  // of a file of texts, once
  }
  const std::vector<int64_t> ids =
      text_.encode(with_prompt ? TextFrontend::with_prompt(segment) : segment);
  RowPrompt prompt = lm_->prompt(lm_prompt_, ids);
  prompt.seed = seed;
  return prompt;
}

torch::Tensor SpeechSynthesizer::heard(const torch::Tensor& codes) const {
  return without_long_silence(codes);
}

}  // namespace ttsft::cosyvoice3
