#include "models/voxtral/synth.h"

#include "models/voxtral/clips.h"
#include "models/voxtral/encoding.h"
#include "models/voxtral/voices.h"
#include "ttsft/core/error.h"
#include "ttsft/core/log.h"
#include "ttsft/core/strings.h"
#include "ttsft/io/tensor_file.h"
#include "ttsft/model/merge_adapter.h"
#include "ttsft/text/split.h"

namespace ttsft::voxtral {
namespace {

namespace fs = std::filesystem;

FlowSolver solver_of(const Options& options, const Config& config) {
  return {options.steps > 0 ? options.steps : config.flow.steps, options.cfg_alpha};
}

}  // namespace

fs::path encoder_of(const CheckpointSet& checkpoints, const Options& options,
                    const fs::path& base) {
  const auto own = checkpoints.stages.find("encoder");
  if (own != checkpoints.stages.end() && own->second.kind == CheckpointKind::kFull)
    return encoder_file(own->second.folder);
  return options.encoder.empty() ? encoder_file(base) : options.encoder;
}

SpeechSynthesizer::SpeechSynthesizer(const ModelContext& context, const CheckpointSet& checkpoints,
                                     double lora_scale)
    : run_(context.config),
      options_(static_cast<const Options&>(*context.config.model_options)),
      context_(context),
      checkpoint_(checkpoints.of("lm")),
      lora_scale_(lora_scale),
      base_(base_folder(run_, checkpoint_)),
      config_(read_config(base_)),
      tokenizer_(base_),
      acoustic_(load_codec(base_, config_.codec, context.device,
                           encoder_of(checkpoints, options_, base_))) {}

std::vector<std::string> SpeechSynthesizer::segments(const std::string& text) const {
  const auto limit = static_cast<int>(options_.segment_characters);
  if (count_characters(text) <= limit) return {text};
  return pack_pieces(split_sentences(text), limit);
}

void SpeechSynthesizer::load() {
  if (lm_) return;
  const c10::InferenceMode inference;
  Lm lm = load_lm(base_, config_, context_.device, context_.dtype);
  lm->eval();
  wear_adapter(*lm, checkpoint_, lora_scale_, context_.device, context_.dtype);
  lm_ = std::make_unique<SpeechModel>(lm, solver_of(options_, config_), tensor_options());
  voice_ = find_voice();
}

torch::Tensor voice_of_run(const RunConfig& run, const Options& options, const Config& config,
                           Codec& codec) {
  if (!run.data.reference.file.empty())
    return voice_codes(run.data.reference.file, codec, config,
                       choose_encoding(options, codec.encodes(), run.train.stage), options);
  if (run.data.prepared.empty() || !fs::exists(run.data.prepared / "index.json")) return {};
  const Clips clips(PreparedSet::look(run.data.prepared, run.model).all(), config);
  const std::string id = clips.representative(run.data.speaker);
  if (id.empty()) return {};
  log_info("voice: clip ", id, " of the prepared set (data.reference names another)");
  return cut_voice(clips.codes(id, "data.prepared"), config.codec);
}

torch::Tensor SpeechSynthesizer::find_voice() {
  const std::string& speaker = run_.data.speaker;
  if (config_.voices.contains(speaker)) return read_voice(base_, config_, speaker);
  const torch::Tensor codes = voice_of_run(run_, options_, config_, acoustic_.codec());
  if (codes.defined()) return voice_rows(lm_->lm(), codes);
  throw UsageError(speaker.empty() ? "no voice" : "no voice is called '" + speaker + "'",
                   "data.speaker",
                   "name one of the release (" + join(voice_names(config_), ", ") +
                       "), or a recording in data.reference");
}

torch::TensorOptions SpeechSynthesizer::tensor_options() const {
  return torch::TensorOptions().device(context_.device).dtype(context_.dtype);
}

DecodingPlan SpeechSynthesizer::plan(const DecodeOptions& options) {
  DecodingPlan plan;
  // Upstream takes the likeliest code always, and so do we unless the run file asks for more.
  const SynthConfig& synth = run_.synth;
  plan.sampling.temperature = synth.temperature;
  plan.sampling.top_p = synth.top_p;
  plan.sampling.top_k = synth.top_k;
  plan.sampling.greedy = options.greedy || synth.top_k == 1;
  const int64_t end = config_.codec.semantic_codes;
  plan.end = {end};
  if (options_.min_frames > 0) plan.rules = {no_end_before(options_.min_frames, {end})};
  plan.max_frames = options.max_frames;
  return plan;
}

RowPrompt SpeechSynthesizer::prompt(const std::string& segment, uint64_t seed,
                                    std::span<const SpokenSegment> /*earlier*/) {
  const c10::InferenceMode inference;
  RowPrompt prompt = lm_->prompt(tokenizer_.prompt(), voice_, tokenizer_.encode(segment), segment);
  prompt.seed = seed;
  return prompt;
}

RecordedDraws SpeechSynthesizer::recorded(const Noise& noise) const {
  const int64_t values = config_.codec.acoustic_dim;
  for (const auto& [name, draws] : noise) {
    if (name != kNoise)
      throw DataError("no noise is called " + name, "--noise", std::string("known: ") + kNoise);
    if (draws.dim() != 2 || draws.size(1) != values)
      throw DataError(name + " is " + shape_text(draws.sizes().vec()), "--noise",
                      "wanted: [frames, " + std::to_string(values) + "]");
  }
  return noise;
}

}  // namespace ttsft::voxtral
