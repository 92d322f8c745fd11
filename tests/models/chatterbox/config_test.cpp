// What a folder is taken for: dimensions from shapes, other releases refused by name.
#include "models/chatterbox/config.h"

#include <gtest/gtest.h>

#include "tests/models/chatterbox/chatterbox_fixture.h"
#include "ttsft/core/error.h"
#include "ttsft/io/torch_file.h"

namespace ttsft::chatterbox::test {
namespace {

namespace fs = std::filesystem;

// A copy of the fixture's checkpoint that may be spoiled.
class Checkpoint : public testing::Test {
 protected:
  void SetUp() override {
    for (const auto& entry : fs::directory_iterator(fixture().path("checkpoint")))
      fs::copy_file(entry.path(), folder_ / entry.path().filename().string());
  }
  std::string failure() const {
    try {
      read_config(folder_.path());
    } catch (const DataError& error) {
      return error.what();
    }
    return "";
  }

  TemporaryFolder folder_;
};

TEST_F(Checkpoint, DimensionsAreThoseOfTheTensors) {
  const Config c = read_config(folder_.path());
  EXPECT_EQ(c.t3.hidden_size, 32);
  EXPECT_EQ(c.t3.intermediate_size, 64);
  EXPECT_EQ(c.t3.num_hidden_layers, 2);
  EXPECT_EQ(c.t3.num_attention_heads, 2);
  EXPECT_EQ(c.t3.text_vocab, 300);
  EXPECT_EQ(c.t3.speech_vocab, 8194);
  EXPECT_EQ(c.t3.max_text_tokens, 94);
  EXPECT_EQ(c.t3.max_speech_tokens, 252);
  EXPECT_EQ(c.t3.speech_cond_prompt_len, 30);
  EXPECT_EQ(c.t3.condition_length(), 34);
  EXPECT_EQ(c.tokenizer_heads, 4);
  EXPECT_EQ(c.decoder_heads, 2);
  EXPECT_EQ(c.decoder_head_dim, 8);
}

TEST_F(Checkpoint, ReleaseConstantsThatDoNotFitAreNamed) {
  fs::remove(folder_ / "ttsft_dims.json");  // then 16 heads of 64 are the release's
  EXPECT_NE(failure().find("16 heads"), std::string::npos) << failure();
}

TEST_F(Checkpoint, MissingFilesAreNamed) {
  for (const char* name :
       {"ve.safetensors", "tokenizer.json", "s3gen.safetensors", "t3_cfg.safetensors"}) {
    fs::rename(folder_ / name, folder_ / "away");
    EXPECT_NE(failure().find(name), std::string::npos) << failure();
    fs::rename(folder_ / "away", folder_ / name);
  }
}

TEST_F(Checkpoint, StateDictsOfTheCommunityAreTaken) {
  const Config before = read_config(folder_.path());
  std::vector<torch::Tensor> kept;
  TorchValue::Dict state;
  const auto file = open_weights(folder_.path(), "t3_cfg");
  for (const TensorView& view : file->tensors()) {
    kept.push_back(copy_tensor(view));
    state.push_back({view.name, {view_tensor(view.name, kept.back())}});
  }
  fs::remove(folder_ / "t3_cfg.safetensors");
  write_torch_file(folder_ / "t3_cfg.pt", {state});
  EXPECT_EQ(read_config(folder_.path()).t3.hidden_size, before.t3.hidden_size);

  TorchValue::Dict wrapped;  // very old files: {"model": [state dict]}
  wrapped.push_back({"model", {TorchValue::List{{state}}}});
  write_torch_file(folder_ / "t3_cfg.pt", {wrapped});
  EXPECT_EQ(read_config(folder_.path()).t3.hidden_size, before.t3.hidden_size);
}

TEST_F(Checkpoint, OtherReleasesAreRefusedByName) {
  const ModelAdapter& adapter = find_model("chatterbox");
  fs::rename(folder_ / "t3_cfg.safetensors", folder_ / "t3_turbo_v1.safetensors");
  EXPECT_EQ(other_release(folder_.path()), "Chatterbox Turbo");
  EXPECT_THROW(adapter.recognise(folder_.path()), DataError);
  EXPECT_NE(failure().find("Turbo"), std::string::npos) << failure();
  fs::rename(folder_ / "t3_turbo_v1.safetensors", folder_ / "t3_nano_v1.safetensors");
  EXPECT_EQ(other_release(folder_.path()), "Chatterbox Nano");
  fs::rename(folder_ / "t3_nano_v1.safetensors", folder_ / "t3_mtl23ls_v2.safetensors");
  EXPECT_EQ(other_release(folder_.path()), "Chatterbox Multilingual");
}

TEST_F(Checkpoint, MultilingualWeightsUnderTheEnglishNameAreRefusedToo) {
  std::vector<std::pair<std::string, torch::Tensor>> tensors;
  const auto file = open_weights(folder_.path(), "t3_cfg");
  for (const TensorView& view : file->tensors()) {
    const bool table = view.name == "text_emb.weight" || view.name == "text_head.weight";
    tensors.emplace_back(view.name,
                         table ? torch::zeros({2454, view.shape[1]}) : copy_tensor(view));
  }
  save_tensors(folder_ / "t3_cfg.safetensors", tensors);
  EXPECT_NE(failure().find("Multilingual"), std::string::npos) << failure();
}

TEST(Recognise, AnotherFolderIsNotOurs) {
  const TemporaryFolder empty;
  EXPECT_EQ(find_model("chatterbox").recognise(empty.path()), "");
  EXPECT_NE(find_model("chatterbox").recognise(fixture().path("checkpoint")), "");
}

}  // namespace
}  // namespace ttsft::chatterbox::test
