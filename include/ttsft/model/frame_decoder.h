// The decoding loop of all models. Rows are slots: texts come in with admit() while others are on
// their way, every step() adds a frame to each that has not ended, and take() reads out and removes
// those that have. A row's result is what it would be alone: its draws depend on its seed and its
// own step, its attention on its own length.
//
// Nothing in a step is counted on the host or waits for the device; whether a row has ended is a
// tensor that the caller looks at as often as it likes.
#pragma once

#include <torch/torch.h>

#include <optional>
#include <span>
#include <vector>

#include "ttsft/model/speech_lm.h"
#include "ttsft/nn/beam_search.h"

namespace ttsft {

// What a text has become.
struct DecodedRow {
  torch::Tensor codes;         // [F, C] with a FrameHead, else [F]; int64, CPU, without the end token
  bool reached_limit = false;  // cut off before it ended
};

class FrameDecoder {
 public:
  // recorded: draws in place of our own, by stream; must outlive the decoder; may be null. They
  // also limit the frames.
  FrameDecoder(SpeechLm& model, DecodingPlan plan, torch::TensorOptions options,
               const RecordedDraws* recorded = nullptr);

  void admit(std::span<const RowPrompt> prompts);  // prefill; behind the rows that are there
  void step();

  int64_t rows() const { return texts_; }
  int64_t max_frames() const { return limit_; }
  torch::Tensor ended() const;      // [B], bool, on the device: reading it waits for that
  // Codes of a row from frame `first` on, so far; not while beams are searched.
  torch::Tensor so_far(int64_t row, int64_t first) const;
  std::vector<DecodedRow> take(const std::vector<int64_t>& rows);  // ascending

  // Read out by parity tests: of the next frame, before any rule. Rows of a text stand together.
  const torch::Tensor& last_logits() const { return logits_; }  // [B * per_text, V]
  const torch::Tensor& last_state() const { return state_; }    // [B * per_text, D]

 private:
  struct Chosen {
    torch::Tensor tokens;  // [R]
    torch::Tensor ends;    // [B], bool
  };
  void advance();  // feeds the frames of the latest step
  void look(const torch::Tensor& hidden);
  void prefill(std::span<const RowPrompt> prompts);
  void add_state(std::span<const RowPrompt> prompts);
  TokenHistory history() const;
  Chosen choose();
  Chosen search(const torch::Tensor& scores, const NoiseSource& noise);
  torch::Tensor per_row(const torch::Tensor& per_text) const;  // [B, ..] -> [R, ..]
  int64_t most_steps() const;
  std::vector<DecodedRow> read(const std::vector<int64_t>& rows) const;
  void keep(const std::vector<int64_t>& rows);

  SpeechLm& model_;
  DecodingPlan plan_;
  torch::TensorOptions options_;
  const RecordedDraws* recorded_;
  int64_t limit_ = 0, per_text_ = 1, texts_ = 0;
  torch::Tensor end_ids_, said_ids_;  // [E], [S]

  std::optional<KvCache> cache_;
  std::optional<BeamSearch> beams_;
  std::vector<int64_t> prompt_lengths_, steps_;  // per text; it has no more frames than steps
  torch::Tensor state_, logits_;         // [R, D], [R, V]
  torch::Tensor seen_, tokens_;          // [R, V] bool, [R, capacity]
  torch::Tensor seeds_, number_;         // [B, 2], [B]: frames made so far
  torch::Tensor ended_, limited_;        // [B], bool
  torch::Tensor at_least_, at_most_;     // [B], frames
  torch::Tensor codes_;                  // [B, capacity, C]
  torch::Tensor trailing_, last_trailing_;  // [B, R, D]; [B], the last row of each; undefined: none
  torch::Tensor latest_frame_, latest_number_;  // [R, C], [R], still to be fed; undefined: nothing
};

}  // namespace ttsft
