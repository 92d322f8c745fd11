// Text to sound, one step at a time. The engine owns the loop, the limits and the files.
#pragma once

#include <torch/torch.h>

#include <span>
#include <string>
#include <vector>

#include "ttsft/audio/audio.h"
#include "ttsft/model/acoustic.h"

namespace ttsft {

struct Prompt {
  std::string text;  // one segment
  uint64_t seed =
      0;  // of this segment; equal seeds give equal results whatever else is in the batch
};

struct DecodeOptions {
  bool greedy = false;  // argmax after penalties and suppressions, sub-models too
  int64_t max_frames = 2048;
};

class Synthesizer {
 public:
  virtual ~Synthesizer() = default;

  // Pieces of a text that are spoken one by one, as the model's section of the run file asks.
  virtual std::vector<std::string> segments(const std::string& text) const = 0;
  // Rows that may be decoded together.
  virtual int64_t max_batch() const = 0;

  // Reads what begin() needs, so that the time it takes is not counted as decoding; begin() does it
  // where nobody asked.
  virtual void load() {}

  // Prefill. Afterwards every step() adds one frame to each row that is not finished.
  virtual void begin(std::span<const Prompt> prompts, const DecodeOptions& options) = 0;
  virtual void step() = 0;
  virtual torch::Tensor finished()
      const = 0;  // [B] bool, on the model's device: reading it waits for the device
  // Newly generated tokens as the acoustic decoder gets them, a row each: [F, C] or [F], int64, on
  // the CPU. The end token is not among them.
  virtual std::vector<torch::Tensor> codes() = 0;

  // after_prompt: the codes follow the prompts of begin() (an in-context reference is decoded
  // before them and cut off). Otherwise they stand alone (--codes-in) and begin() need not have
  // been called. A row without frames comes out empty. DataError: codes of a wrong shape or outside
  // the codebooks, noise that does not fit.
  virtual std::vector<Audio> decode(const std::vector<torch::Tensor>& codes, bool after_prompt,
                                    const Noise& noise) = 0;
};

}  // namespace ttsft
