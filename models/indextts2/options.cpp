#include "models/indextts2/options.h"

#include <algorithm>

#include "models/indextts2/emotion.h"
#include "ttsft/core/error.h"

namespace ttsft::indextts2 {

void Options::bind(Binder& b) {
  b.field("text_weight", text_weight, "train: weight of the text loss; 0 = do not compute it");
  b.field("mel_weight", mel_weight, "train: weight of the loss over the codes");
  b.field("pairs", pairs,
          "train: other clips of the speaker that a clip is paired with, one of them each time");
  b.field(
      "extend_vocabulary", extend_vocabulary,
      "prep, train: a SentencePiece model that begins with the pieces of bpe.model and has more; "
      "the text tables grow to its size");
  b.field("normalize", normalize,
          "numbers and abbreviations into words; false: the text is normalised already");
  b.field("glossary", glossary, "speak the terms of the checkpoint's glossary.yaml as it says");
  b.field("grammars", grammars,
          "folder of the compiled text grammars; empty: as tools/setup leaves them");
  b.field("segment_tokens", segment_tokens,
          "synth: longest piece of text that is spoken in one go; 60 is safer for alphabets");
  b.field("quick_tokens", quick_tokens,
          "synth: pieces are joined only after so many tokens, for a quick start");
  b.choice("mel_positions", mel_positions, {"upstream", "training"},
           "synth: upstream = skip a position behind the start, as upstream uses its release; "
           "training = as the model was trained");
  b.field("emotion_vector", emotion_vector,
          "synth: 8 shares (happy, angry, sad, afraid, disgusted, melancholic, surprised, calm) in "
          "place of a recording; their sum should be at most 0.8");
  b.field("emotion_reference", emotion_reference,
          "synth: a recording of the emotion; empty: that of the voice");
  b.field("emotion_alpha", emotion_alpha,
          "synth: how far from the voice's own emotion to that of the recording or the vector");
  b.field("emotion_random", emotion_random,
          "synth: a random example of each emotion instead of the one most like the voice");
  b.field("diffusion_steps", diffusion_steps, "synth: solver steps from codes to mel");
  b.field("cfg_rate", cfg_rate, "synth: classifier-free guidance of the mel; 0 = off");
  b.field("duration_factor", duration_factor, "synth: 1.1 speaks a tenth slower");
  b.choice("export_precision", export_precision, {"keep", "float32", "float16"},
           "export: type of the weights in gpt.pth; keep: the base's");
}

void Options::validate() const {
  const auto refuse = [](const std::string& what, const std::string& remedy = "") {
    throw UsageError(what, "", remedy);
  };
  if (text_weight < 0) refuse("text_weight: must be 0 or more");
  if (mel_weight <= 0) refuse("mel_weight: must be above 0");
  if (pairs < 1) refuse("pairs: must be at least 1");
  if (segment_tokens < 1) refuse("segment_tokens: must be at least 1");
  if (quick_tokens < 0) refuse("quick_tokens: must be 0 or more");
  if (!emotion_vector.empty() && std::ssize(emotion_vector) != kEmotions)
    refuse("emotion_vector: has " + std::to_string(emotion_vector.size()) + " shares",
           "give 8: happy, angry, sad, afraid, disgusted, melancholic, surprised, calm");
  if (std::any_of(emotion_vector.begin(), emotion_vector.end(),
                  [](double share) { return share < 0 || share > 1.2; }))
    refuse("emotion_vector: a share is outside 0..1.2");
  if (emotion_alpha < 0 || emotion_alpha > 1) refuse("emotion_alpha: must be in [0, 1]");
  if (diffusion_steps < 1) refuse("diffusion_steps: must be at least 1", "25 is upstream's");
  if (cfg_rate < 0) refuse("cfg_rate: must be 0 or more");
  if (duration_factor < 0.25 || duration_factor > 4)
    refuse("duration_factor: must be in [0.25, 4]");
}

TextOptions Options::text() const {
  TextOptions options;
  if (!extend_vocabulary.empty()) options.tokenizer = extend_vocabulary;
  options.normalize = normalize;
  options.glossary = glossary;
  options.grammars = grammars;
  return options;
}

}  // namespace ttsft::indextts2
