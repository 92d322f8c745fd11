// Residual vector quantisation: a vector becomes the nearest entry of one codebook, what is left
// over the nearest entry of the next, and so on (Zeghidour et al. 2021, SoundStream).
#pragma once

#include <torch/torch.h>

#include <string>
#include <vector>

#include "ttsft/nn/conv.h"

namespace ttsft {

// Index of the nearest row of the table for each vector, the first one of equals. Float32 via
// v.v - 2 v.e + e.e; where several candidates lie within that formula's rounding error of the best,
// their true distances decide (double). Quantisers that compare by cosine normalise both first.
torch::Tensor nearest_rows(const torch::Tensor& vectors,         // [N, D], float32
                           const torch::Tensor& table,           // [K, D], float32
                           const torch::Tensor& squared_norms);  // [K], row_norms(table)

torch::Tensor row_norms(const torch::Tensor& table);  // e.e of each row, [K, D] -> [K]

// How upstream spells a codebook that was learned as a moving average.
struct CodebookNames {
  std::string sum = "embed_sum";
  std::string usage = "cluster_usage";
};

// Entries e = sum / max(usage, 1e-5), computed at the first use after loading.
class EmaCodebookImpl : public torch::nn::Module {
 public:
  EmaCodebookImpl(int64_t size, int64_t dim, const CodebookNames& names = {});

  const torch::Tensor& table();          // [K, D], float32
  const torch::Tensor& squared_norms();  // [K]

 private:
  void compute();

  torch::Tensor sum_, usage_;  // buffers, as in upstream
  torch::Tensor table_, norms_;
};
TORCH_MODULE(EmaCodebook);

// What a quantiser holds and under which names. The codebook of level i is found at
// <layers[0]>.<layers[1]>...<i>.<codebook>.
struct RvqOptions {
  int64_t channels = 0;       // width outside the quantiser
  int64_t codebook_dim = 0;   // width of the entries
  int64_t codebook_size = 0;  // entries per level
  int64_t levels = 0;
  bool input_proj = false;   // 1x1 convolution channels -> codebook_dim, without bias; for encode
  bool output_proj = false;  // 1x1 convolution codebook_dim -> channels, without bias; for decode
  std::vector<std::string> layers = {"layers"};
  std::string codebook = "codebook";
  CodebookNames names;
};

class ResidualQuantizerImpl : public torch::nn::Module {
 public:
  explicit ResidualQuantizerImpl(const RvqOptions& options);

  torch::Tensor encode(const torch::Tensor& x);  // [N, channels] -> [N, levels], int64

  // Codes in [0, codebook_size). [.., levels], int64 -> [.., channels]
  torch::Tensor decode(const torch::Tensor& codes);

  const RvqOptions& options() const { return options_; }

 private:
  RvqOptions options_;
  std::vector<EmaCodebook> codebooks_;
  Conv1d input_proj{nullptr}, output_proj{nullptr};
};
TORCH_MODULE(ResidualQuantizer);

}  // namespace ttsft
