// What blocks are called in code that descends from Meta's Llama: Fish Speech, Mistral.
#pragma once

#include "ttsft/nn/decoder_block.h"

namespace ttsft {

inline BlockNames meta_block_names() {
  BlockNames names;
  names.attention = "attention";
  names.q = "wq";
  names.k = "wk";
  names.v = "wv";
  names.o = "wo";
  names.mlp = "feed_forward";
  names.gate = "w1";
  names.up = "w3";
  names.down = "w2";
  names.attention_norm = "attention_norm";
  names.mlp_norm = "ffn_norm";
  return names;
}

}  // namespace ttsft
