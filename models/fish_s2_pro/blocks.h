// What Fish's transformer blocks call their members, in both decoders and in the codec.
#pragma once

#include "ttsft/nn/decoder_block.h"

namespace ttsft::fish_s2_pro {

inline BlockNames block_names() {
  BlockNames names;
  names.attention = "attention";
  names.qkv = "wqkv";
  names.o = "wo";
  names.mlp = "feed_forward";
  names.gate = "w1";
  names.up = "w3";
  names.down = "w2";
  names.attention_norm = "attention_norm";
  names.mlp_norm = "ffn_norm";
  names.attention_scale = "attention_layer_scale";
  names.mlp_scale = "ffn_layer_scale";
  names.scale_parameter = "gamma";
  return names;
}

}  // namespace ttsft::fish_s2_pro
