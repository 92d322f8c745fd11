#include "models/indextts2/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "models/indextts2/yaml.h"
#include "tests/models/indextts2/gpt_fixture.h"
#include "tests/support/temporary_folder.h"
#include "ttsft/core/error.h"
#include "ttsft/io/atomic_file.h"

namespace ttsft::indextts2::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

// A copy of the fixture's checkpoint, so that files can be changed or missing.
class CheckpointCopy {
 public:
  CheckpointCopy() { fs::copy(fixture().path("checkpoint"), root(), fs::copy_options::recursive); }
  fs::path root() const { return folder_ / "checkpoint"; }
  void replace(const std::string& from, const std::string& to) const {
    std::string text = read_text(root() / "config.yaml");
    const size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    text.replace(at, from.size(), to);
    fs::remove(root() / "config.yaml");
    write_text_atomic(root() / "config.yaml", text);
  }
  std::string message() const {
    return message_of<DataError>([&] { return read_config(root()); });
  }

 private:
  TemporaryFolder folder_;
};

TEST(Config, ComesFromYamlAndShapes) {
  const Config& config = fixture_config();
  const auto yaml = read_yaml_object(fixture().path("checkpoint/config.yaml"));
  const auto& gpt = yaml["gpt"];
  EXPECT_EQ(config.gpt.model_dim, gpt["model_dim"]);
  EXPECT_EQ(config.gpt.layers, gpt["layers"]);
  EXPECT_EQ(config.gpt.text_vocabulary, gpt["number_text_tokens"].get<int64_t>() + 1);
  EXPECT_EQ(config.gpt.text_positions, gpt["max_text_tokens"].get<int64_t>() + 2);
  EXPECT_EQ(config.gpt.mel_positions, gpt["max_mel_tokens"].get<int64_t>() + 3);
  EXPECT_EQ(config.gpt.speaker.output_size, gpt["condition_module"]["output_size"]);
  EXPECT_EQ(config.gpt.speaker.latents, 32);
  EXPECT_EQ(config.gpt.prefix(), 34);
  EXPECT_EQ(config.gpt.speaker.head_dim, 64);
  EXPECT_EQ(config.gpt.speaker.depth, 2);
  EXPECT_EQ(config.gpt.emotion.latents, 1);
  EXPECT_EQ(config.gpt.emotion.head_dim, 64);
  EXPECT_EQ(config.semantic_codec.hidden_size, yaml["semantic_codec"]["hidden_size"]);
  EXPECT_EQ(config.s2mel.depth, yaml["s2mel"]["DiT"]["depth"]);
  EXPECT_EQ(config.s2mel.regulator_convs, 4);
  EXPECT_EQ(config.s2mel.mel.sample_rate, 22050);
  EXPECT_EQ(config.s2mel.mel.fmax, 0.0) << "the word None";
  EXPECT_TRUE(config.s2mel.long_skip_connection);
  EXPECT_EQ(config.emotion_groups, (std::vector<int64_t>{3, 17, 2, 8, 4, 5, 10, 24}));
  EXPECT_EQ(config.vocoder, "nvidia/bigvgan_v2_22khz_80band_256x");
  EXPECT_EQ(config.gpt_file.filename(), "gpt.pth");
}

TEST(Config, YamlKnowsItsTypes) {
  const TemporaryFolder folder;
  const auto json = read_yaml_object(folder.write(
      "a.yaml", "i: 3 \nf: 0.5\nb: true\nn: null\ns: None\nq: \"7\"\nl: [1, 2]\nm:\n  k: v  \n"));
  EXPECT_EQ(json,
            nlohmann::ordered_json::parse(
                R"({"i":3,"f":0.5,"b":true,"n":null,"s":"None","q":"7","l":[1,2],"m":{"k":"v"}})"));
  const std::string broken = message_of<DataError>(
      [&] { return read_yaml_object(folder.write("b.yaml", "a: 1\nb: [1, 2\n")); });
  EXPECT_THAT(broken, HasSubstr("b.yaml:"));
  EXPECT_THAT(
      message_of<DataError>([&] { return read_yaml_object(folder.write("c.yaml", "- 1")); }),
      HasSubstr("not a YAML map"));
}

TEST(Config, RecognisesTheReleaseAlone) {
  EXPECT_THAT(recognise_release(fixture().path("checkpoint")), HasSubstr("IndexTTS2 2.0"));
  const TemporaryFolder folder;
  EXPECT_EQ(recognise_release(folder.path()), "");
  folder.write("config.yaml", "model: something\n");
  EXPECT_EQ(recognise_release(folder.path()), "");
  folder.write("config.yaml", "a: [1\n");
  EXPECT_EQ(recognise_release(folder.path()), "");
}

TEST(Config, RefusesAnotherReleaseByName) {
  {
    const CheckpointCopy copy;
    copy.replace("version: 2.0", "version: 2.5");
    EXPECT_THAT(copy.message(), HasSubstr("IndexTTS-2.5 is another model"));
    EXPECT_THAT(message_of<DataError>([&] { return recognise_release(copy.root()); }),
                HasSubstr("IndexTTS-2.5"));
  }
  {
    const CheckpointCopy copy;
    copy.replace("gpt:\n", "gpt:\n  spk_cond_mode: campplus\n");
    EXPECT_THAT(copy.message(), HasSubstr("IndexTTS-2.5"));
  }
  // A 2.5 file of weights under 2.0's config.yaml.
  const CheckpointCopy copy;
  copy.replace("gpt_checkpoint: gpt.pth", "gpt_checkpoint: gpt.safetensors");
  save_tensors(copy.root() / "gpt.safetensors", {{"gpt.ln_f.weight", torch::ones({4})},
                                                 {"spk_emb_proj.weight", torch::ones({4, 3})}});
  EXPECT_THAT(copy.message(), HasSubstr("IndexTTS-2.5"));
}

TEST(Config, SaysWhatIsMissingOrWrong) {
  {
    const CheckpointCopy copy;
    fs::remove(copy.root() / "feat1.pt");
    EXPECT_THAT(copy.message(), HasSubstr("feat1.pt"));
    fs::remove(copy.root() / "config.yaml");
    EXPECT_THAT(copy.message(), HasSubstr("no config.yaml in the checkpoint"));
  }
  const auto with = [](const std::string& from, const std::string& to) {
    const CheckpointCopy copy;
    copy.replace(from, to);
    return copy.message();
  };
  EXPECT_THAT(with("  number_mel_codes: 8194", "  number_mel_codes: 8190"),
              HasSubstr("number_mel_codes"));
  EXPECT_THAT(with("  max_mel_tokens: ", "  max_mel_tokens: 9"), HasSubstr("max_mel_tokens"));
  EXPECT_THAT(with("  dit_type: DiT", "  dit_type: UViT"), HasSubstr("only \"DiT\" is supported"));
  EXPECT_THAT(with("  heads: 2", "  heads: 5"), HasSubstr("does not divide model_dim"));
  EXPECT_THAT(with("  layers: 3\n", ""), HasSubstr("layers"));
  EXPECT_THAT(with("  stop_mel_token: 8193", "  stop_mel_token: 9000"),
              HasSubstr("outside the vocabulary"));
}

TEST(Auxiliary, LiesInPlainFilesOrSnapshots) {
  const CheckpointCopy copy;
  Config config = fixture_config();
  config.folder = copy.root();
  const fs::path cache = copy.root() / "hf_cache";
  EXPECT_EQ(locate(config, Auxiliary::kW2vBert), cache / "w2v-bert-2.0");
  EXPECT_EQ(locate(config, Auxiliary::kSemanticCodec), cache / "semantic_codec_model.safetensors");
  EXPECT_EQ(locate(config, Auxiliary::kCampplus), cache / "campplus_cn_common.bin");
  EXPECT_EQ(locate(config, Auxiliary::kBigVgan), cache / "bigvgan");

  const auto move = [&](const std::string& plain, const std::string& snapshot) {
    fs::create_directories((cache / snapshot).parent_path());
    fs::rename(cache / plain, cache / snapshot);
    return cache / snapshot;
  };
  const fs::path w2v = move("w2v-bert-2.0", "models--facebook--w2v-bert-2.0/snapshots/0a1");
  EXPECT_EQ(locate(config, Auxiliary::kW2vBert), w2v);
  const fs::path codec =
      move("semantic_codec_model.safetensors",
           "models--amphion--MaskGCT/snapshots/9f/semantic_codec/model.safetensors");
  EXPECT_EQ(locate(config, Auxiliary::kSemanticCodec), codec);
  const fs::path voice = move("campplus_cn_common.bin",
                              "models--funasr--campplus/snapshots/7c/campplus_cn_common.bin");
  EXPECT_EQ(locate(config, Auxiliary::kCampplus), voice);
  const fs::path vocoder =
      move("bigvgan", "models--nvidia--bigvgan_v2_22khz_80band_256x/snapshots/b2");
  EXPECT_EQ(locate(config, Auxiliary::kBigVgan), vocoder);

  // Of two complete snapshots the one that refs/main names.
  fs::copy(w2v, w2v.parent_path() / "0a0");
  EXPECT_EQ(locate(config, Auxiliary::kW2vBert), w2v.parent_path() / "0a0");
  fs::create_directories(w2v.parent_path().parent_path() / "refs");
  write_text_atomic(w2v.parent_path().parent_path() / "refs" / "main", "0a1\n");
  EXPECT_EQ(locate(config, Auxiliary::kW2vBert), w2v);

  fs::remove(vocoder / "config.json");
  const std::string message =
      message_of<DataError>([&] { return locate(config, Auxiliary::kBigVgan); });
  EXPECT_THAT(message, HasSubstr("lacks BigVGAN"));
  EXPECT_THAT(message, HasSubstr("huggingface.co/nvidia/bigvgan_v2_22khz_80band_256x"));
}

}  // namespace
}  // namespace ttsft::indextts2::test
