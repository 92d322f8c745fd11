#include "models/chatterbox/synth.h"

#include "models/chatterbox/weights.h"
#include "ttsft/core/error.h"
#include "ttsft/model/merge_adapter.h"
#include "ttsft/model/text_checks.h"
#include "ttsft/text/split.h"

namespace ttsft::chatterbox {
namespace {

namespace fs = std::filesystem;

}  // namespace

Voice resolve_voice(const ModelContext& context, const CheckpointRef& checkpoint,
                    const Config& config) {
  const RunConfig& run = context.config;
  const fs::path base = base_folder(run, checkpoint);
  if (!run.data.reference.file.empty())
    return VoiceMaker(base, config, context.device).make(run.data.reference.file);
  for (const fs::path& folder : {checkpoint.folder, base, run.checkpoint})
    if (fs::exists(folder / kVoiceFile)) return read_voice(folder / kVoiceFile);
  throw UsageError("no voice", "data.reference",
                   "name a recording of the voice; this checkpoint has no conds.pt");
}

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
      text_(base_) {
  c10::InferenceMode inference;
  voice_ = resolve_voice(context, checkpoint, config_);
  acoustic_ = std::make_unique<Acoustic>(open_weights(base_, "s3gen"), config_.decoder_heads,
                                         config_.decoder_head_dim, voice_.gen, device_);
}

std::vector<std::string> SpeechSynthesizer::segments(const std::string& text) const {
  // A name for a text that T3 has no positions for would be no remedy: its words are cut apart.
  return halve_pieces(
      pack_pieces(split_sentences(text), static_cast<int>(options_.segment_characters)),
      [&](const std::string& piece) {
        return std::ssize(text_.encode(piece)) <= config_.t3.max_text_tokens;
      });
}

void SpeechSynthesizer::load() {
  if (lm_) return;
  c10::InferenceMode inference;
  T3 t3 = load_t3(base_, config_.t3, device_, dtype_);
  t3->eval();
  wear_adapter(*t3, checkpoint_, lora_scale_, device_, dtype_);
  lm_ = std::make_unique<T3Lm>(t3, config_.t3, tensor_options());
}

torch::TensorOptions SpeechSynthesizer::tensor_options() const {
  return torch::TensorOptions().device(device_).dtype(dtype_);
}

DecodingPlan SpeechSynthesizer::plan(const DecodeOptions& options) {
  const SynthConfig& s = run_.synth;
  GenerateOptions generate;
  generate.sampling = {options.greedy,      s.temperature, s.top_k, s.top_p, s.min_p,
                       /*min_p_first=*/true};
  generate.repetition_penalty = s.repetition_penalty;
  generate.cfg_weight = options_.cfg_weight;
  generate.max_steps = options.max_frames;
  return decoding_plan(generate);
}

RowPrompt SpeechSynthesizer::prompt(const std::string& segment, uint64_t seed,
                                    std::span<const SpokenSegment> /*earlier*/) {
  c10::InferenceMode inference;
  std::vector<int64_t> ids = text_.encode(segment);
  check_spoken(segment, text_.unknown_share(ids),
               {config_.t3.max_text_tokens, "[UNK]", "write it in the letters of English"},
               run_.data.guards);
  check_piece(std::ssize(ids), config_.t3.max_text_tokens, "chatterbox.segment_characters");
  ids.insert(ids.begin(), text_.start());
  ids.push_back(text_.stop());
  RowPrompt prompt =
      lm_->prompt(ids, voice_.t3, options_.exaggeration, options_.bos == "one" ? 1 : 2);
  prompt.seed = seed;
  return prompt;
}

}  // namespace ttsft::chatterbox
