// Linear layers that know three weight layouts and carry a LoRA slot beside the base weight.
// LoRA: Hu et al. 2021, arXiv 2106.09685; layout and arithmetic as PEFT's lora.Linear.
#pragma once

#include <torch/torch.h>

#include <optional>
#include <string>
#include <vector>

namespace ttsft {

// How the file stores the weight of y = x W^T.
enum class LinearLayout {
  kOutIn,  // [out, in], torch.nn.Linear; a fused q,k,v projection too (one A/B pair spans it, as in
           // PEFT)
  kInOut,  // [in, out], GPT-2's Conv1D (PEFT: fan_in_fan_out)
};

// What a linear is for, so that lora.targets may name roles instead of upstream's spellings.
enum class LinearRole { kOther, kAttention, kMlp, kHead };

struct LinearOptions {
  int64_t in = 0, out = 0;
  bool bias = false;
  LinearLayout layout = LinearLayout::kOutIn;
  LinearRole role = LinearRole::kOther;
  bool embeds = false;  // a Table
};

// One adapter: y += scale * dropout(x) A^T B^T. A and B stay float32 (masters); they are cast to
// x's type in use.
struct LoraSlot {
  torch::Tensor A;       // [r, in]
  torch::Tensor B;       // [out, r]
  double scaling = 1.0;  // alpha / r or alpha / sqrt(r)
  double scale = 1.0;    // user's lora_scale; 0 skips the adapter, bit for bit the base
  double dropout = 0.0;
};

class LinearImpl : public torch::nn::Module {
 public:
  explicit LinearImpl(const LinearOptions& options);
  LinearImpl(int64_t in, int64_t out, bool with_bias = false)
      : LinearImpl(LinearOptions{in, out, with_bias}) {}

  torch::Tensor forward(const torch::Tensor& x);  // [..., in] -> [..., out]

  // weight + scale * scaling * B A in [out, in], differentiable: for heads whose logits are never
  // materialised.
  torch::Tensor effective_weight() const;
  // Folds the adapter into the weight (computed in float32) and drops the slot.
  void merge_lora();

  const LinearOptions& options() const { return options_; }
  std::optional<LoraSlot>& lora() { return lora_; }
  const std::optional<LoraSlot>& lora() const { return lora_; }

  torch::Tensor weight, bias;  // bias undefined when there is none

 private:
  torch::Tensor lora_delta() const;  // [out, in], float32

  LinearOptions options_;
  std::optional<LoraSlot> lora_;
};
TORCH_MODULE(Linear);

// An embedding that may carry an adapter, and may be a tied head: y = x W for x of one 1 each, so
// that W [num, dim] is looked up. PEFT's lora.Embedding: A [r, num] starts at zero, B [dim, r] does
// not, and nothing is dropped out.
class TableImpl : public LinearImpl {
 public:
  TableImpl(int64_t num, int64_t dim)
      : LinearImpl(LinearOptions{num, dim, false, LinearLayout::kInOut, LinearRole::kOther, true}) {
  }
  torch::Tensor forward(const torch::Tensor& ids);                          // [...] -> [..., dim]
  torch::Tensor effective_table() const { return effective_weight().t(); }  // [num, dim]
};
TORCH_MODULE(Table);

}  // namespace ttsft
