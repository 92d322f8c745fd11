#include "models/qwen3_tts/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <functional>

#include "tests/models/qwen3_tts/fixture.h"
#include "ttsft/core/error.h"

namespace ttsft::qwen3_tts {
namespace {

using namespace ttsft::qwen3_tts::test;  // NOLINT: test helpers
using testing::AllOf;
using testing::HasSubstr;
using Json = nlohmann::ordered_json;
using Edit = std::function<void(Json& config, Json& codec)>;

Json load_json(const std::string& relative) {
  std::ifstream stream(fixture_path(relative));
  return Json::parse(stream);
}

// The configuration files of the fixture after an edit, in a folder that lives as long as this.
class EditedCheckpoint {
 public:
  explicit EditedCheckpoint(const Edit& edit) {
    static int count = 0;
    folder_ = std::filesystem::path(testing::TempDir()) /
              ("qwen3_tts_config_" + std::to_string(::getpid()) + "_" + std::to_string(count++));
    std::filesystem::create_directories(folder_ / "speech_tokenizer");
    Json config = load_json("checkpoint/config.json");
    Json codec = load_json("checkpoint/speech_tokenizer/config.json");
    edit(config, codec);
    std::ofstream(folder_ / "config.json") << config;
    std::ofstream(folder_ / "speech_tokenizer" / "config.json") << codec;
  }
  ~EditedCheckpoint() { std::filesystem::remove_all(folder_); }
  EditedCheckpoint(const EditedCheckpoint&) = delete;

  const std::filesystem::path& folder() const { return folder_; }
  Config read() const { return read_config(folder_); }

 private:
  std::filesystem::path folder_;
};

// The edit makes read_config fail with one line that holds the word.
void expect_refused(const std::string& word, const Edit& edit) {
  const EditedCheckpoint checkpoint(edit);
  try {
    checkpoint.read();
    ADD_FAILURE() << "accepted although " << word << " is wrong";
  } catch (const DataError& e) {
    EXPECT_THAT(e.what(), AllOf(HasSubstr(word), HasSubstr("config.json")));
    EXPECT_EQ(std::string(e.what()).find('\n'), std::string::npos);
  }
}

TEST(Config, ReadsTheFixture) {
  const Config& c = fixture_config();
  EXPECT_EQ(c.variant, Variant::kBase);
  EXPECT_TRUE(c.has_speaker_encoder());
  EXPECT_EQ(c.model_size, "1b7");
  EXPECT_EQ(c.assistant_token_id, 266);
  EXPECT_EQ(c.tts_eos_token_id, 567);
  EXPECT_EQ(c.talker.hidden_size, 16);
  EXPECT_EQ(c.talker.head_dim, 8);
  EXPECT_EQ(c.talker.num_key_value_heads, 2);
  EXPECT_EQ(c.talker.rope_theta, 1e6);
  EXPECT_EQ(c.talker.rms_norm_eps, 1e-6);
  EXPECT_EQ(c.talker.text_vocab_size, 640);
  EXPECT_EQ(c.talker.codec_eos_token_id, 2150);
  EXPECT_EQ(c.talker.codec_language_id.at("english"), 2050);
  EXPECT_TRUE(c.talker.spk_id.empty());
  EXPECT_EQ(c.talker.code_predictor.hidden_size, 12);
  EXPECT_EQ(c.talker.code_predictor.vocab_size, 2048);
  EXPECT_EQ(c.speaker_encoder.enc_dim, 16);
  EXPECT_EQ(c.speaker_encoder.enc_channels.back(), 48);
  EXPECT_EQ(c.codec.encoder.num_quantizers, 17);
  EXPECT_EQ(c.codec.encoder_valid_num_quantizers, 16);
  EXPECT_EQ(c.codec.encoder.frame_rate, 12.5);
  EXPECT_EQ(c.codec.decoder.sliding_window, 16);
  EXPECT_EQ(c.codec.decode_upsample_rate, 1920);
  EXPECT_EQ(c.generation.max_new_tokens, 8192);
  EXPECT_EQ(c.raw.at("talker_config").at("position_id_per_seconds"), 13);
}

TEST(Config, GenerationFallsBackToUpstreamsHardDefaults) {
  const EditedCheckpoint checkpoint([](Json&, Json&) {});
  EXPECT_EQ(checkpoint.read().generation.max_new_tokens, 2048);
  EXPECT_EQ(checkpoint.read().generation.temperature, 0.9);
  std::ofstream(checkpoint.folder() / "generation_config.json")
      << R"({"temperature": 0.7, "subtalker_top_k": 0, "do_sample": false})";
  const Config c = checkpoint.read();
  EXPECT_EQ(c.generation.temperature, 0.7);
  EXPECT_EQ(c.generation.subtalker_top_k, 0);
  EXPECT_FALSE(c.generation.do_sample);
  EXPECT_EQ(c.generation.top_k, 50);
  std::ofstream(checkpoint.folder() / "generation_config.json") << R"({"temperature": "hot"})";
  EXPECT_THROW(checkpoint.read(), DataError);
}

TEST(Config, SpeakerEncoderHasDocumentedDefaults) {
  const EditedCheckpoint checkpoint([](Json& config, Json&) {
    config["speaker_encoder_config"] = {{"enc_dim", 16}, {"sample_rate", 24000}};
  });
  const SpeakerEncoderConfig speaker = checkpoint.read().speaker_encoder;
  EXPECT_EQ(speaker.enc_channels, (std::vector<int64_t>{512, 512, 512, 512, 1536}));
  EXPECT_EQ(speaker.enc_kernel_sizes, (std::vector<int64_t>{5, 3, 3, 3, 1}));
  EXPECT_EQ(speaker.enc_dilations, (std::vector<int64_t>{1, 2, 3, 4, 1}));
  EXPECT_EQ(speaker.mel_dim, 128);
  EXPECT_EQ(speaker.enc_attention_channels, 128);
}

TEST(Config, SpeakersAndDialects) {
  const EditedCheckpoint checkpoint([](Json& config, Json&) {
    config["tts_model_type"] = "custom_voice";
    config.erase("speaker_encoder_config");
    config["talker_config"]["codec_language_id"]["Beijing_Dialect"] = 2074;
    config["talker_config"]["spk_id"] = {{"Dylan", 2878}, {"ryan", 3061}};
    config["talker_config"]["spk_is_dialect"] = {{"Dylan", "beijing_dialect"}, {"ryan", false}};
  });
  const Config c = checkpoint.read();
  EXPECT_EQ(c.variant, Variant::kCustomVoice);
  EXPECT_FALSE(c.has_speaker_encoder());
  EXPECT_EQ(c.talker.spk_id, (std::map<std::string, int64_t>{{"dylan", 2878}, {"ryan", 3061}}));
  EXPECT_EQ(c.talker.spk_is_dialect.size(), 1u);
  EXPECT_EQ(c.talker.spk_is_dialect.at("dylan"), "beijing_dialect");
}

TEST(Config, NullMapsAreEmpty) {
  const EditedCheckpoint checkpoint([](Json& config, Json&) {
    config["talker_config"]["spk_id"] = nullptr;
    config["talker_config"]["spk_is_dialect"] = nullptr;
  });
  EXPECT_TRUE(checkpoint.read().talker.spk_id.empty());
  EXPECT_TRUE(checkpoint.read().talker.spk_is_dialect.empty());
}

TEST(Config, VoiceDesignNeedsNoSpeakerEncoder) {
  const EditedCheckpoint checkpoint([](Json& config, Json&) {
    config["tts_model_type"] = "voice_design";
    config.erase("speaker_encoder_config");
  });
  EXPECT_EQ(checkpoint.read().variant, Variant::kVoiceDesign);
}

// The package's class defaults are not the release's values, so absence is never filled in.
TEST(Config, MissingKeysAreNamed) {
  for (const std::string key :
       {"model_type", "tokenizer_type", "tts_model_type", "tts_model_size", "assistant_token_id",
        "im_start_token_id", "tts_pad_token_id", "talker_config", "speaker_encoder_config"}) {
    expect_refused(key, [&](Json& config, Json&) { config.erase(key); });
  }
  for (const std::string key :
       {"hidden_size", "head_dim", "num_key_value_heads", "rope_theta", "rms_norm_eps",
        "vocab_size", "text_vocab_size", "text_hidden_size", "num_code_groups", "codec_bos_id",
        "codec_eos_token_id", "codec_think_id", "code_predictor_config"}) {
    expect_refused("talker_config." + key,
                   [&](Json& config, Json&) { config["talker_config"].erase(key); });
  }
  expect_refused("talker_config.code_predictor_config.head_dim", [](Json& config, Json&) {
    config["talker_config"]["code_predictor_config"].erase("head_dim");
  });
  expect_refused("speaker_encoder_config.enc_dim",
                 [](Json& config, Json&) { config["speaker_encoder_config"].erase("enc_dim"); });
  for (const std::string key : {"encoder_valid_num_quantizers", "encoder_config", "decoder_config",
                                "decode_upsample_rate"}) {
    expect_refused(key, [&](Json&, Json& codec) { codec.erase(key); });
  }
  for (const std::string key : {"num_filters", "upsampling_ratios", "norm_eps", "codebook_dim"}) {
    expect_refused("encoder_config." + key,
                   [&](Json&, Json& codec) { codec["encoder_config"].erase(key); });
  }
  for (const std::string key : {"latent_dim", "sliding_window", "upsample_rates", "rope_theta"}) {
    expect_refused("decoder_config." + key,
                   [&](Json&, Json& codec) { codec["decoder_config"].erase(key); });
  }
}

TEST(Config, WrongKindsOfModel) {
  expect_refused("model_type", [](Json& config, Json&) { config["model_type"] = "qwen3"; });
  expect_refused("tokenizer_type", [](Json& config, Json&) {
    config["tokenizer_type"] = "qwen3_tts_tokenizer_25hz";
  });
  expect_refused("tts_model_type", [](Json& config, Json&) { config["tts_model_type"] = "x"; });
  expect_refused("model_type",
                 [](Json&, Json& codec) { codec["model_type"] = "qwen3_tts_tokenizer_25hz"; });
  expect_refused("rope_type", [](Json& config, Json&) {
    config["talker_config"]["rope_scaling"]["rope_type"] = "yarn";
  });
  expect_refused("hidden_act",
                 [](Json& config, Json&) { config["talker_config"]["hidden_act"] = "gelu"; });
  expect_refused("pad_mode",
                 [](Json&, Json& codec) { codec["encoder_config"]["pad_mode"] = "reflect"; });
}

TEST(Config, Contradictions) {
  const auto talker = [](const std::string& key, const Json& value) {
    return [=](Json& config, Json&) { config["talker_config"][key] = value; };
  };
  const auto encoder = [](const std::string& key, const Json& value) {
    return [=](Json&, Json& codec) { codec["encoder_config"][key] = value; };
  };
  const auto decoder = [](const std::string& key, const Json& value) {
    return [=](Json&, Json& codec) { codec["decoder_config"][key] = value; };
  };
  expect_refused("num_attention_heads", talker("num_key_value_heads", 3));
  expect_refused("head_dim", talker("head_dim", 7));
  expect_refused("codec_bos_id", talker("codec_bos_id", 3072));
  expect_refused("spk_id.ann", talker("spk_id", {{"ann", 9000}}));
  expect_refused("codec_language_id.german", talker("codec_language_id", {{"german", -1}}));
  expect_refused("spk_is_dialect.ann", talker("spk_is_dialect", {{"ann", "klingon"}}));
  expect_refused("vocab_size", talker("vocab_size", 2160));
  expect_refused("num_code_groups", talker("num_code_groups", 15));
  expect_refused("enc_dim", talker("hidden_size", 32));
  expect_refused("im_end_token_id", talker("text_vocab_size", 562));
  expect_refused("code_predictor_config.vocab_size", [](Json& config, Json&) {
    config["talker_config"]["code_predictor_config"]["vocab_size"] = 1024;
  });
  expect_refused("enc_kernel_sizes", [](Json& config, Json&) {
    config["speaker_encoder_config"]["enc_kernel_sizes"] = {5, 3, 3};
  });
  expect_refused("enc_channels", [](Json& config, Json&) {
    config["speaker_encoder_config"]["enc_res2net_scale"] = 3;
  });
  expect_refused("enc_channels", [](Json& config, Json&) {
    config["speaker_encoder_config"]["enc_channels"] = {16, 16, 16, 16, 40};
  });
  expect_refused("upsampling_ratios", encoder("upsampling_ratios", {8, 6, 5}));
  expect_refused("_frame_rate", encoder("_frame_rate", 25));
  expect_refused("num_quantizers", encoder("num_quantizers", 15));
  expect_refused("compress", encoder("compress", 3));
  expect_refused("upsample_rates", decoder("upsample_rates", {8, 5, 4}));
  expect_refused("num_quantizers", decoder("num_quantizers", 8));
  expect_refused("codebook_size", decoder("codebook_size", 1024));
  expect_refused("codebook_dim", decoder("codebook_dim", 13));
  expect_refused("decoder_dim", decoder("decoder_dim", 24));
}

TEST(Config, AbsentFiles) {
  EXPECT_THROW(read_config("/no/such/folder"), DataError);
  const EditedCheckpoint checkpoint([](Json&, Json&) {});
  std::filesystem::remove(checkpoint.folder() / "speech_tokenizer" / "config.json");
  EXPECT_THROW(checkpoint.read(), DataError);
}

}  // namespace
}  // namespace ttsft::qwen3_tts
