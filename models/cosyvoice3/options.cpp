#include "models/cosyvoice3/options.h"

#include "ttsft/core/error.h"

namespace ttsft::cosyvoice3 {

void Options::bind(Binder& b) {
  b.choice("talker", talker, {"base", "rl"}, "all: llm.pt or llm.rl.pt, read and written back");
  b.choice("speaker_pool", speaker_pool, {"mean", "ort118"},
           "prep: means of the speaker network's last segment: over its frames, or as onnxruntime "
           "1.18, which upstream pins, takes them");
  b.field("bistream", bistream,
          "train, eval: share of clips in the layout of streamed text; 0: none");
  b.choice("flow_mask", flow_mask, {"random", "full", "streaming"},
           "train, eval of the stage flow: what a frame hears; random: half of the batches in "
           "chunks, as upstream; synth: in chunks if streaming, as --stream does");
  b.choice("mode", mode, {"auto", "zero_shot", "instruct2", "cross_lingual", "sft"},
           "synth: auto = sft with data.speaker of the checkpoint, instruct2 with data.instruct, "
           "zero_shot with reference_text, else cross_lingual");
  b.field("reference_text", reference_text, "synth: what data.reference says, for zero_shot");
  b.choice("normalize", normalize, {"words", "upstream", "off"},
           "synth: numbers in words and texts in segments; upstream: inside phonemes too");
  b.field("speed", speed, "synth: of speech, 1 as spoken");
  b.field("min_token_text_ratio", min_token_text_ratio,
          "synth: codes that a token of text has at least (25 codes a second)");
  b.field("max_token_text_ratio", max_token_text_ratio,
          "synth: codes that a token of text has at most");
}

void Options::validate() const {
  if (bistream < 0 || bistream > 1) throw UsageError("bistream: must be 0 to 1", "", "");
  if (speed < 0.25 || speed > 4) throw UsageError("speed: must be 0.25 to 4", "", "");
  if (min_token_text_ratio < 0 || max_token_text_ratio <= min_token_text_ratio)
    throw UsageError("min_token_text_ratio: must be 0 or more and below max_token_text_ratio", "",
                     "upstream has 2 and 20");
}

FlowMask Options::mask() const {
  if (flow_mask == "full") return FlowMask::kFull;
  return flow_mask == "streaming" ? FlowMask::kStreaming : FlowMask::kRandom;
}

}  // namespace ttsft::cosyvoice3
