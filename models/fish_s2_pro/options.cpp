#include "models/fish_s2_pro/options.h"

#include "ttsft/core/error.h"

namespace ttsft::fish_s2_pro {

void Options::bind(Binder& b) {
  b.choice(
      "layout", layout, {"chat", "upstream"},
      "train, eval: chat = the prompt that the model was made with and that synth speaks with; "
      "upstream = what its fine-tuning code teaches, the prompt of the model before");
  b.field("embedding_scale", embedding_scale,
          "train, eval: sums of a frame's codes over sqrt(11), as synth hears them; upstream's "
          "fine-tuning leaves it out");
  b.choice("tied_head", tied_head, {"adapted", "base"},
           "train, eval: with adapters on embeddings, adapted = the head sees them, as the merged "
           "weights will; base = it does not, as upstream trains");
  b.field("write_ckpt", write_ckpt,
          "train: LoRA checkpoints also hold a .ckpt, which upstream's merge tool reads");
  b.field("speaker_tag", speaker_tag,
          "train, synth: <|speaker:0|> in front of a text that names no speaker");
  b.field("reference_text", reference_text, "synth: what is said in data.reference");
  b.field("chunk_length", chunk_length,
          "synth: turns are spoken together up to this many bytes, and hear those before them");
}

void Options::validate() const {
  if (chunk_length < 1) throw UsageError("chunk_length: must be 1 or more");
}

}  // namespace ttsft::fish_s2_pro
