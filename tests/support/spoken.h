// What a synthesizer says, without the engine around it.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "ttsft/model/frame_decoder.h"
#include "ttsft/model/synthesizer.h"

namespace ttsft::test {

struct SeededText {
  std::string text;
  uint64_t seed = 1;
};

// Steps until all rows have ended.
inline std::vector<DecodedRow> decode_all(FrameDecoder& decoder) {
  std::vector<int64_t> rows;
  for (int64_t row = 0; row < decoder.rows(); ++row) rows.push_back(row);
  while (!decoder.ended().all().item<bool>()) decoder.step();
  return decoder.take(rows);
}

inline std::vector<DecodedRow> decode_all(SpeechLm& model, const DecodingPlan& plan,
                                          torch::TensorOptions options,
                                          const std::vector<RowPrompt>& prompts) {
  FrameDecoder decoder(model, plan, options);
  decoder.admit(prompts);
  return decode_all(decoder);
}

inline std::vector<DecodedRow> decode_all(Synthesizer& synthesizer,
                                          const std::vector<SeededText>& texts,
                                          const DecodeOptions& options) {
  synthesizer.load();
  std::vector<RowPrompt> prompts;
  for (const SeededText& one : texts)
    prompts.push_back(synthesizer.prompt(one.text, one.seed, {}));
  std::vector<DecodedRow> rows =
      decode_all(synthesizer.language_model(), synthesizer.plan(options),
                 synthesizer.tensor_options(), prompts);
  for (DecodedRow& row : rows) row.codes = synthesizer.heard(row.codes);
  return rows;
}

// The waves of what it said.
inline std::vector<torch::Tensor> sound_of(Synthesizer& synthesizer,
                                           const std::vector<SeededText>& texts,
                                           const std::vector<DecodedRow>& rows,
                                           const Noise* noise = nullptr) {
  const c10::InferenceMode inference;
  std::vector<SpokenSegment> segments;
  for (size_t i = 0; i < rows.size(); ++i)
    segments.push_back({texts[i].text, rows[i].codes, texts[i].seed});
  std::vector<AcousticRow> given = synthesizer.acoustic_rows(segments);
  for (AcousticRow& row : given) row.noise = noise;
  return synthesizer.acoustic().decode(given);
}

// The wave of codes that stand alone.
inline torch::Tensor sound_of(Synthesizer& synthesizer, const torch::Tensor& codes, uint64_t seed,
                              const Noise* noise = nullptr) {
  const c10::InferenceMode inference;
  AcousticRow row;
  row.codes = codes;
  row.seed = seed;
  row.noise = noise;
  return synthesizer.acoustic().decode(std::span(&row, 1)).front();
}

}  // namespace ttsft::test
