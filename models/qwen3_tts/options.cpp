#include "models/qwen3_tts/options.h"

#include "ttsft/core/error.h"

namespace ttsft::qwen3_tts {

void Options::bind(Binder& b) {
  b.choice("mode", mode, {"auto", "clone", "icl", "custom_voice", "voice_design"},
           "synth: clone = speaker vector of data.reference; icl = clone with reference_text in "
           "context; custom_voice = "
           "data.speaker; voice_design = instruct; auto = what the checkpoint was made for");
  b.field(
      "language", language,
      "synth: auto or a language of config.json (english, chinese, ...); train: see language_tags");
  b.choice("text_streaming", text_streaming, {"auto", "true", "false"},
           "synth: feed text along with the frames; auto = upstream's default (true when cloning)");
  b.field("reference_text", reference_text, "synth: what is said in data.reference (mode icl)");
  b.field("instruct", instruct, "synth: how to speak; wins over data.instruct");
  b.choice("split_pattern", split_pattern, {"qwen2", "mistral"},
           "tokenizer split; qwen2 is what the model was trained with, mistral is what some local "
           "loads upstream use");
  b.choice("segments", segments, {"whole", "sentences"},
           "synth: speak a text whole (as upstream) or sentence by sentence");
  b.field("segment_characters", segment_characters,
          "synth: sentences are joined up to this many characters");
  b.field("subtalker_sample", subtalker_sample, "synth: false = codebooks 1..15 by argmax");
  b.field("subtalker_temperature", subtalker_temperature, "synth: of codebooks 1..15");
  b.field("subtalker_top_k", subtalker_top_k, "synth: of codebooks 1..15; 0 = off");
  b.field("subtalker_top_p", subtalker_top_p, "synth: of codebooks 1..15; 1 = off");
  b.field("sub_talker_weight", sub_talker_weight,
          "train: weight of the sub-talker loss (upstream: 0.3, early versions 1.0)");
  b.field("language_tags", language_tags,
          "train: tag rows with their language (rows' language, else language above)");
  b.field("keep_speaker_encoder", keep_speaker_encoder,
          "train, export: keep speaker_encoder.* in complete checkpoints");
}

void Options::validate() const {
  const auto refuse = [](const std::string& what, const std::string& remedy = "") {
    throw UsageError(what, "", remedy);
  };
  if (subtalker_temperature <= 0)
    refuse("subtalker_temperature: must be above 0", "subtalker_sample: false is greedy");
  if (subtalker_top_p <= 0 || subtalker_top_p > 1) refuse("subtalker_top_p: must be in (0, 1]");
  if (subtalker_top_k < 0) refuse("subtalker_top_k: must be 0 (off) or more");
  if (sub_talker_weight < 0) refuse("sub_talker_weight: must be 0 or more");
  if (segment_characters < 20) refuse("segment_characters: must be at least 20");
}

}  // namespace ttsft::qwen3_tts
