// The half of the configuration that describes the codec, speech_tokenizer/config.json.
#include <functional>
#include <numeric>

#include "models/qwen3_tts/config_parts.h"

namespace ttsft::qwen3_tts {

// Heads as all decoders here have them: whole groups, pairs to rotate.
void check_heads(const JsonReader& json, int64_t heads, int64_t kv_heads, int64_t head_dim) {
  if (heads % kv_heads != 0) {
    json.fail("num_attention_heads", std::to_string(heads) + " heads do not share " +
                                         std::to_string(kv_heads) + " key/value heads evenly");
  }
  if (head_dim % 2 != 0) {
    json.fail("head_dim", "is odd (" + std::to_string(head_dim) + "), cannot be rotated in pairs");
  }
}

namespace {

CodecEncoderConfig read_codec_encoder(const JsonReader& json) {
  CodecEncoderConfig c;
  c.num_filters = json.positive("num_filters");
  c.kernel_size = json.positive("kernel_size");
  c.last_kernel_size = json.positive("last_kernel_size");
  c.residual_kernel_size = json.positive("residual_kernel_size");
  c.num_residual_layers = json.positive("num_residual_layers");
  c.compress = json.positive("compress");
  c.dilation_growth_rate = json.positive("dilation_growth_rate");
  c.upsampling_ratios = json.positives("upsampling_ratios");
  c.hidden_size = json.positive("hidden_size");
  c.num_hidden_layers = json.positive("num_hidden_layers");
  c.num_attention_heads = json.positive("num_attention_heads");
  c.num_key_value_heads = json.positive("num_key_value_heads");
  c.head_dim = json.positive("head_dim");
  c.intermediate_size = json.positive("intermediate_size");
  c.norm_eps = json.number("norm_eps");
  c.rope_theta = json.number("rope_theta");
  c.frame_rate = json.number(json.find("_frame_rate") ? "_frame_rate" : "frame_rate");
  c.codebook_size = json.positive("codebook_size");
  c.codebook_dim = json.positive("codebook_dim");
  c.num_quantizers = json.positive("num_quantizers");
  c.num_semantic_quantizers = json.positive("num_semantic_quantizers");
  json.require("hidden_act", "gelu");
  json.require("use_causal_conv", true);
  json.require("use_conv_shortcut", false);
  json.require("pad_mode", "constant");
  json.require("audio_channels", 1);
  json.require("attention_bias", false);
  check_heads(json, c.num_attention_heads, c.num_key_value_heads, c.head_dim);
  if (c.num_filters % c.compress != 0) {
    json.fail("compress", "does not divide num_filters = " + std::to_string(c.num_filters));
  }
  return c;
}

CodecDecoderConfig read_codec_decoder(const JsonReader& json) {
  CodecDecoderConfig c;
  c.codebook_dim = json.positive("codebook_dim");
  c.codebook_size = json.positive("codebook_size");
  c.num_quantizers = json.positive("num_quantizers");
  c.latent_dim = json.positive("latent_dim");
  c.hidden_size = json.positive("hidden_size");
  c.intermediate_size = json.positive("intermediate_size");
  c.num_hidden_layers = json.positive("num_hidden_layers");
  c.num_attention_heads = json.positive("num_attention_heads");
  c.num_key_value_heads = json.positive("num_key_value_heads");
  c.head_dim = json.positive("head_dim");
  c.sliding_window = json.positive("sliding_window");
  c.rope_theta = json.number("rope_theta");
  c.rms_norm_eps = json.number("rms_norm_eps");
  c.decoder_dim = json.positive("decoder_dim");
  c.upsample_rates = json.positives("upsample_rates");
  c.upsampling_ratios = json.positives("upsampling_ratios");
  json.require("hidden_act", "silu");
  json.require("attention_bias", false);
  check_heads(json, c.num_attention_heads, c.num_key_value_heads, c.head_dim);
  if (c.codebook_dim % 2 != 0) json.fail("codebook_dim", "is odd; a codebook is half as wide");
  if (c.decoder_dim % (int64_t{1} << c.upsample_rates.size()) != 0) {
    json.fail("decoder_dim", "cannot be halved at each of " +
                                 std::to_string(c.upsample_rates.size()) + " upsample_rates");
  }
  return c;
}

int64_t product(const std::vector<int64_t>& values) {
  return std::accumulate(values.begin(), values.end(), int64_t{1}, std::multiplies<>());
}

}  // namespace

CodecConfig read_codec(const std::filesystem::path& file) {
  const nlohmann::ordered_json json = read_json_object(file);
  const JsonReader top(json, file.string());
  const std::string type = top.text("model_type");
  if (type != "qwen3_tts_tokenizer_12hz") {
    top.fail("model_type", "is \"" + type + "\"",
             "only the 12 Hz tokenizer (qwen3_tts_tokenizer_12hz) has public weights");
  }
  CodecConfig codec;
  codec.encoder_valid_num_quantizers = top.positive("encoder_valid_num_quantizers");
  codec.input_sample_rate = top.positive("input_sample_rate");
  codec.output_sample_rate = top.positive("output_sample_rate");
  codec.decode_upsample_rate = top.positive("decode_upsample_rate");
  codec.encode_downsample_rate = top.positive("encode_downsample_rate");
  const JsonReader encoder = top.section("encoder_config"), decoder = top.section("decoder_config");
  codec.encoder = read_codec_encoder(encoder);
  codec.decoder = read_codec_decoder(decoder);

  // The convolutions reach ratio samples per frame, the downsampling behind the transformer halves.
  if (2 * product(codec.encoder.upsampling_ratios) != codec.encode_downsample_rate) {
    encoder.fail("upsampling_ratios",
                 "and the final halving do not multiply to "
                 "encode_downsample_rate = " +
                     std::to_string(codec.encode_downsample_rate));
  }
  if (codec.encoder.frame_rate * static_cast<double>(codec.encode_downsample_rate) !=
      static_cast<double>(codec.input_sample_rate)) {
    encoder.fail("_frame_rate", "contradicts input_sample_rate / encode_downsample_rate");
  }
  if (product(codec.decoder.upsample_rates) * product(codec.decoder.upsampling_ratios) !=
      codec.decode_upsample_rate) {
    decoder.fail("upsample_rates",
                 "and upsampling_ratios do not multiply to "
                 "decode_upsample_rate = " +
                     std::to_string(codec.decode_upsample_rate));
  }
  if (codec.encoder_valid_num_quantizers > codec.encoder.num_quantizers) {
    encoder.fail("num_quantizers", "is less than encoder_valid_num_quantizers = " +
                                       std::to_string(codec.encoder_valid_num_quantizers));
  }
  if (codec.encoder.num_semantic_quantizers >= codec.encoder_valid_num_quantizers) {
    encoder.fail("num_semantic_quantizers", "leaves no acoustic quantizer");
  }
  if (codec.decoder.num_quantizers != codec.encoder_valid_num_quantizers) {
    decoder.fail("num_quantizers", "differs from encoder_valid_num_quantizers = " +
                                       std::to_string(codec.encoder_valid_num_quantizers));
  }
  if (codec.decoder.codebook_size != codec.encoder.codebook_size) {
    decoder.fail("codebook_size",
                 "differs from the encoder's " + std::to_string(codec.encoder.codebook_size));
  }
  return codec;
}

}  // namespace ttsft::qwen3_tts
