// The second half of synthesis: from the tokens of a language model to a wave. Every model folder has one, in
// `acoustic.{h,cpp}`; the voice it speaks with is given to its constructor.
#pragma once

#include <torch/torch.h>

#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace ttsft {

// Recorded random tensors that replace our own draws, by name; the acoustic decoder checks shapes.
using Noise = std::map<std::string, torch::Tensor>;

// What is decoded into one wave.
struct AcousticRow {
  torch::Tensor codes;           // [F, C] or [F], int64, newly generated; F may be 0: the wave is empty
  torch::Tensor lead;            // codes decoded in front of them and cut off (an in-context reference); undefined: none
  torch::Tensor states;          // [F, D], what the language model adds to each code; undefined: none
  uint64_t seed = 0;             // of the random numbers that are not replayed
  const Noise* noise = nullptr;  // replayed; null: drawn
};

// A wave that grows with its codes. All pieces together are what decode() gives for all codes at once, within the
// tolerance of the model's golden.
class AcousticStream {
 public:
  virtual ~AcousticStream() = default;
  virtual torch::Tensor push(const torch::Tensor& codes) = 0;  // [f, C] or [f] -> [n], float32, on the CPU; n may be 0
  virtual torch::Tensor flush() = 0;                           // what is held back; nothing may be pushed afterwards
};

class AcousticDecoder {
 public:
  virtual ~AcousticDecoder() = default;

  virtual int sample_rate() const = 0;
  // Each row as it would be alone, [n] float32 on the CPU. DataError: codes of a wrong shape or outside the codebooks,
  // noise that does not fit.
  virtual std::vector<torch::Tensor> decode(std::span<const AcousticRow> rows) = 0;
  // Codes of one row will come bit by bit (row.codes and row.states are not looked at). Null: this decoder needs all
  // of them at once.
  virtual std::unique_ptr<AcousticStream> stream(const AcousticRow& /*row*/) { return nullptr; }
};

}  // namespace ttsft
