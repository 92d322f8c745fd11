// The numbers that distinguish a tiny random checkpoint from one of the release's size.
#pragma once

#include <vector>

#include "models/indextts2/config.h"
#include "ttsft/codec/campplus.h"
#include "ttsft/model/adapter.h"

namespace ttsft::indextts2 {

struct FixtureSizes {
  GptConfig gpt;
  SemanticCodecConfig codec;
  S2MelConfig s2mel;
  struct {
    int64_t hidden, layers, heads, ffn;
  } w2v;
  CampplusOptions campplus;
  struct {
    int64_t channels;
    std::vector<int64_t> kernels;
  } vocoder;
  std::vector<int64_t> gpt_layer;  // widths between the two ends
};

const FixtureSizes& fixture_sizes(FixtureSize size);

// The parts of the checkpoint (specification sections 2.1 to 2.3).
FixtureFile list_gpt(const FixtureSizes& sizes);
FixtureFile list_s2mel(const FixtureSizes& sizes);
std::vector<FixtureFile> list_w2v_bert(const FixtureSizes& sizes);
FixtureFile list_semantic_codec(const FixtureSizes& sizes);
std::vector<FixtureFile> list_vocoder(const FixtureSizes& sizes);

}  // namespace ttsft::indextts2
