#include "models/indextts2/fixture_files.h"

#include <sstream>

#include "models/indextts2/fixture_sizes.h"
#include "models/indextts2/fixture_text.h"
#include "ttsft/model/fixture_list.h"
#include "ttsft/model/fixture_networks.h"

namespace ttsft::indextts2 {
namespace {

using Fill = FixtureTensor::Fill;

constexpr int64_t kExamples = 73;  // of eight emotions
constexpr const char* kExamplesPerEmotion = "[3, 17, 2, 8, 4, 5, 10, 24]";

FixtureSizes make_tiny() {
  FixtureSizes s{};
  s.gpt = {.model_dim = 96,
           .layers = 2,
           .heads = 4,
           .max_text_tokens = 240,
           .max_mel_tokens = 600,
           .inner = 384,
           .speaker = {16, 24, 2, 1, 16 * 15, 400, 15, 32, 96, 64, 128, 2},
           .emotion = {8, 20, 2, 1, 8 * 15, 400, 15, 1, 40, 64, 53, 2}};
  s.codec = {8192, 32, 8, 24, 48, 3};
  s.s2mel = {.style_dim = 192,
             .regulator_channels = 20,
             .regulator_in = 32,
             .hidden_dim = 24,
             .num_heads = 2,
             .depth = 5,
             .in_channels = 80,
             .content_dim = 20,
             .wavenet_dim = 24,
             .wavenet_layers = 3,
             .wavenet_kernel = 5,
             .wavenet_dilation_rate = 1};
  s.w2v = {32, 18, 4, 48};
  s.campplus.head_channels = 4;
  s.campplus.width = 12;
  s.campplus.layers = {2, 3, 2};
  s.campplus.growth = 6;
  s.campplus.bottleneck = 12;
  s.campplus.mask_hidden = 6;
  s.vocoder = {64, {3, 7}};
  s.gpt_layer = {24, 16};
  return s;
}

FixtureSizes make_release() {
  FixtureSizes s{};
  s.gpt = {.model_dim = 1280,
           .layers = 24,
           .heads = 20,
           .max_text_tokens = 600,
           .max_mel_tokens = 1815,
           .inner = 5120,
           .speaker = {512, 2048, 8, 6, 512 * 511, 5000, 15, 32, 1280, 64, 1706, 2},
           .emotion = {512, 1024, 4, 4, 512 * 511, 5000, 15, 1, 1024, 64, 1365, 2}};
  s.codec = {8192, 1024, 8, 384, 2048, 12};
  s.s2mel = {.style_dim = 192,
             .regulator_channels = 512,
             .regulator_in = 1024,
             .hidden_dim = 512,
             .num_heads = 8,
             .depth = 13,
             .in_channels = 80,
             .content_dim = 512,
             .wavenet_dim = 512,
             .wavenet_layers = 8,
             .wavenet_kernel = 5,
             .wavenet_dilation_rate = 1};
  s.w2v = {1024, 24, 16, 4096};
  s.vocoder = {1536, {3, 7, 11}};
  s.gpt_layer = {256, 128};
  return s;
}

void condition_yaml(std::ostream& out, const char* key, const ConditionerConfig& c) {
  out << "  " << key << ":\n    output_size: " << c.output_size
      << "\n    linear_units: " << c.linear_units << "\n    attention_heads: " << c.attention_heads
      << "\n    num_blocks: " << c.num_blocks
      << "\n    input_layer: \"conv2d2\"\n    perceiver_mult: 2\n";
}

std::string config_yaml(const FixtureSizes& s, int64_t pieces) {
  const GptConfig& g = s.gpt;
  const S2MelConfig& m = s.s2mel;
  std::ostringstream out;
  out << "dataset:\n  bpe_model: bpe.model\n  sample_rate: 24000\n"
      << "gpt:\n  model_dim: " << g.model_dim << "\n  max_mel_tokens: " << g.max_mel_tokens
      << "\n  max_text_tokens: " << g.max_text_tokens << "\n  heads: " << g.heads
      << "\n  use_mel_codes_as_input: true\n  layers: " << g.layers
      << "\n  number_text_tokens: " << pieces
      << "\n  number_mel_codes: 8194\n  start_mel_token: 8192\n  stop_mel_token: 8193"
      << "\n  start_text_token: 0\n  stop_text_token: 1\n  train_solo_embeddings: false"
      << "\n  condition_type: \"conformer_perceiver\"\n";
  condition_yaml(out, "condition_module", g.speaker);
  condition_yaml(out, "emo_condition_module", g.emotion);
  out << "semantic_codec:\n  codebook_size: " << s.codec.codebook_size
      << "\n  hidden_size: " << s.codec.hidden_size << "\n  codebook_dim: " << s.codec.codebook_dim
      << "\n  vocos_dim: " << s.codec.vocos_dim
      << "\n  vocos_intermediate_dim: " << s.codec.vocos_intermediate_dim
      << "\n  vocos_num_layers: " << s.codec.vocos_num_layers << "\n";
  out << "s2mel:\n  preprocess_params:\n    sr: 22050\n    spect_params:\n      n_fft: 1024\n"
      << "      win_length: 1024\n      hop_length: 256\n      n_mels: 80\n      fmin: 0\n"
      << "      fmax: \"None\"\n  dit_type: \"DiT\"\n  style_encoder:\n    dim: " << m.style_dim
      << "\n  length_regulator:\n    channels: " << m.regulator_channels
      << "\n    is_discrete: false\n    in_channels: " << m.regulator_in
      << "\n    sampling_ratios: [1, 1, 1, 1]\n    vector_quantize: false\n"
      << "    f0_condition: false\n  DiT:\n    hidden_dim: " << m.hidden_dim
      << "\n    num_heads: " << m.num_heads << "\n    depth: " << m.depth
      << "\n    in_channels: " << m.in_channels << "\n    style_condition: true\n"
      << "    final_layer_type: 'wavenet'\n    target: 'mel'\n    content_dim: " << m.content_dim
      << "\n    is_causal: false\n    long_skip_connection: true\n    uvit_skip_connection: true\n"
      << "  wavenet:\n    hidden_dim: " << m.wavenet_dim << "\n    num_layers: " << m.wavenet_layers
      << "\n    kernel_size: " << m.wavenet_kernel
      << "\n    dilation_rate: " << m.wavenet_dilation_rate << "\n    style_condition: true\n";
  out << "gpt_checkpoint: gpt.pth\nw2v_stat: wav2vec2bert_stats.pt\ns2mel_checkpoint: s2mel.pth\n"
      << "emo_matrix: feat2.pt\nspk_matrix: feat1.pt\nemo_num: " << kExamplesPerEmotion
      << "\nvocoder:\n  type: \"bigvgan\"\n  name: \"nvidia/bigvgan_v2_22khz_80band_256x\"\n"
      << "version: 2.0\n";
  return out.str();
}

FixtureFile matrix(const std::string& path, int64_t width) {
  return {path, {{"", DType::kF32, {kExamples, width}, Fill::kNormal, 0.5}}, ""};
}

}  // namespace

const FixtureSizes& fixture_sizes(FixtureSize size) {
  static const FixtureSizes tiny = make_tiny(), release = make_release();
  return size == FixtureSize::kTiny ? tiny : release;
}

std::vector<FixtureFile> fixture_files(FixtureSize size) {
  FixtureSizes sizes = fixture_sizes(size);
  const FixtureTokenizer tokenizer = fixture_tokenizer();
  sizes.gpt.text_vocabulary = tokenizer.pieces + 1;
  FixtureList voice(DType::kF32);
  list_campplus(voice, "", sizes.campplus);
  std::vector<FixtureFile> files = {
      {"config.yaml", {}, config_yaml(sizes, tokenizer.pieces)},
      {"bpe.model", {}, tokenizer.model},
      list_gpt(sizes),
      list_s2mel(sizes),
      {"wav2vec2bert_stats.pt",
       {{"mean", DType::kF32, {sizes.w2v.hidden}, Fill::kSmall},
        {"var", DType::kF32, {sizes.w2v.hidden}, Fill::kOne}},
       ""},
      matrix("feat1.pt", sizes.s2mel.style_dim),
      matrix("feat2.pt", sizes.gpt.model_dim),
      list_semantic_codec(sizes),
      {"hf_cache/campplus_cn_common.bin", std::move(voice.tensors), ""}};
  for (FixtureFile& file : list_w2v_bert(sizes)) files.push_back(std::move(file));
  for (FixtureFile& file : list_vocoder(sizes)) files.push_back(std::move(file));
  return files;
}

}  // namespace ttsft::indextts2
