// What Fish's transformer blocks call their members, in both decoders and in the codec.
#pragma once

#include "ttsft/nn/block_names.h"

namespace ttsft::fish_s2_pro {

inline BlockNames block_names() {
  BlockNames names = meta_block_names();
  names.qkv = "wqkv";
  names.attention_scale = "attention_layer_scale";
  names.mlp_scale = "ffn_layer_scale";
  names.scale_parameter = "gamma";
  return names;
}

}  // namespace ttsft::fish_s2_pro
