// Rows of codes by the encoder, by inversion and as the source brings them; voices; what is
// refused.
#include "models/voxtral/prep.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "models/voxtral/codes.h"
#include "models/voxtral/fixture/files.h"
#include "models/voxtral/silence.h"
#include "models/voxtral/weights.h"
#include "tests/models/voxtral/voxtral_fixture.h"
#include "tests/support/temporary_folder.h"
#include "ttsft/core/error.h"
#include "ttsft/export/export.h"
#include "ttsft/model/load_stage.h"
#include "ttsft/model/registry.h"
#include "ttsft/prep/prep.h"

namespace ttsft::voxtral::test {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Json = nlohmann::ordered_json;

class PrepTest : public testing::Test {
 protected:
  PrepTest() : config_(default_run("voxtral")) {
    config_.checkpoint = checkpoint();
    config_.device = "cpu";
    config_.data.source = fixture().path("audio/metadata.csv");
    config_.data.prepared = folder_ / "prepared";
    config_.data.validation.share = 0;
  }
  Options& options() { return static_cast<Options&>(*config_.model_options); }
  PreparedRows prepare() {
    run_prep(config_, find_model("voxtral"), {});
    return PreparedSet::open(config_.data.prepared, "voxtral").train;
  }
  std::string refused() {
    return message_of<DataError>([&] { run_prep(config_, find_model("voxtral"), {}); });
  }
  void take_away_the_encoder() {
    fs::copy(checkpoint(), folder_ / "bare", fs::copy_options::recursive);
    fs::remove(folder_ / "bare" / kEncoderFile);
    config_.checkpoint = folder_ / "bare";
  }
  fs::path write_rows(const std::vector<Json>& rows) {
    std::string lines;
    for (const Json& row : rows) lines += row.dump() + "\n";
    folder_.write("rows.jsonl", lines);
    return folder_ / "rows.jsonl";
  }
  static Json coded(const std::string& id) {
    return {{"id", id}, {"text", clip_text(id)}, {"codes", codes_json(clip_codes(id))}};
  }

  TemporaryFolder folder_;
  RunConfig config_;
};

TEST_F(PrepTest, RecordingsBecomeUpstreamsCodes) {
  config_.data.reference = fixture().path("audio/ref.wav");
  const PreparedRows rows = prepare();
  ASSERT_EQ(rows.size(), 3u);
  const Config config = read_config(checkpoint());
  for (const PreparedRow& row : rows) {
    expect_equal(codes_of_row(row.row["codes"], config, {}, row.id), clip_codes(row.id), row.id);
    EXPECT_EQ(row.row["text_ids"], Json(Tokenizer(checkpoint()).encode(clip_text(row.id))));
    EXPECT_EQ(row.row["source"], "encoder");
    expect_equal(
        read_codes_file(config_.data.prepared / row.row["ref_codes"].get<std::string>(), config),
        clip_codes("ref"));
  }
}

TEST_F(PrepTest, WithoutAnEncoderTheMissingTensorsAreNamed) {
  take_away_the_encoder();
  const std::string what = refused();
  EXPECT_THAT(what, HasSubstr("audio_tokenizer.encoder_blocks"));
  EXPECT_THAT(what, HasSubstr("voxtral.codes: invert"));
  options().codes = "encoder";
  EXPECT_THAT(refused(), HasSubstr("audio_tokenizer.encoder_blocks"));
  // An encoder of another file is one.
  options().encoder = checkpoint() / kEncoderFile;
  expect_equal(codes_of_row(prepare()[0].row["codes"], read_config(checkpoint()), {}, ""),
               clip_codes("a"));
}

TEST_F(PrepTest, InversionSaysItsErrorAndRefusesAboveItsLimit) {
  take_away_the_encoder();
  options().codes = "invert";
  options().invert_steps = 6;
  options().invert_limit = 100;
  const PreparedRows rows = prepare();
  const double error = rows[0].row["spectral_error"];
  EXPECT_GT(error, 0.1);
  EXPECT_EQ(rows[0].row["source"], "inversion");
  EXPECT_EQ(rows[0].row["codes"].size(), 15u);
  // Other steps are another result.
  options().invert_steps = 7;
  EXPECT_NE(prepare()[0].row["spectral_error"].get<double>(), error);
  options().invert_limit = 1e-3;
  options().invert_steps = 3;
  EXPECT_THAT(refused(), HasSubstr("none of 3 clips"));
  EXPECT_THAT(read_text(config_.data.prepared / "rejected.jsonl"), HasSubstr("invert_limit"));
}

TEST_F(PrepTest, RecordingsStayRecordingsForAnEncoderToLearnFrom) {
  take_away_the_encoder();
  config_.train.stage = "encoder";
  const PreparedRows rows = prepare();
  EXPECT_FALSE(rows[0].row.contains("codes"));
  EXPECT_EQ(rows[0].row["n_frames"], 15);
}

TEST_F(PrepTest, RowsThatBringTheirCodesNeedNoEncoder) {
  take_away_the_encoder();
  save_tensors(folder_ / "shard.safetensors", {{"b.codes", clip_codes("b").to(torch::kInt16)}});
  Json b = coded("b");
  b["codes"] = "shard.safetensors#b.codes";
  b["n_samples"] = 21120;
  b["ref"] = "a";
  config_.data.source = write_rows({coded("a"), b});
  const PreparedRows rows = prepare();
  const Config config = read_config(checkpoint());
  expect_equal(codes_of_row(rows[1].row["codes"], config, {}, ""), clip_codes("b"));
  EXPECT_EQ(rows[1].row["n_samples"], 21120);
  EXPECT_EQ(rows[0].row["n_samples"], 28800);
  EXPECT_EQ(rows[1].row["ref"], "a");
}

// All that decides a code decides whether an earlier one is taken: the codebook too.
TEST_F(PrepTest, AnotherCodebookIsEncodedAnew) {
  const auto fingerprint = [&](const fs::path& folder) {
    config_.checkpoint = folder;
    return find_model("voxtral").make_preparer(make_context(config_))->fingerprint();
  };
  const auto base = open_weights(checkpoint());
  const auto write = [&](const char* folder, const std::string& name) {
    const torch::Tensor value = copy_tensor(base->at(name)) * 2;
    write_lm(checkpoint(), folder_ / folder, {{name, [value] { return value; }}});
    return folder_ / folder;
  };
  const std::string own = fingerprint(checkpoint());
  EXPECT_EQ(fingerprint(checkpoint()), own);
  EXPECT_NE(fingerprint(write("codebook",
                              "audio_tokenizer.quantizer.semantic_codebook."
                              "embedding_sum")),
            own);
  EXPECT_EQ(fingerprint(write("decoder",
                              "audio_tokenizer.decoder_blocks.0.conv.parametrizations."
                              "weight.original0")),
            own)
      << "nothing is decoded in prep";
}

TEST_F(PrepTest, WrongRowsAreNamed) {
  const auto error_of = [&](const Json& row) {
    config_.data.source = write_rows({row});
    return refused() + read_text(config_.data.prepared / "rejected.jsonl");
  };
  Json row = coded("a");
  row["codes"][2][5] = 21;
  EXPECT_THAT(error_of(row), HasSubstr("outside its codebook"));
  row = coded("a");
  row["codes"][1].erase(0);
  EXPECT_THAT(error_of(row), HasSubstr("frame 1 has not 37 codes"));
  row = coded("a");
  row["n_samples"] = 48000;
  EXPECT_THAT(error_of(row), HasSubstr("24 kHz"));
  row = coded("a");
  row["codes"] = "voice:casual_male";
  EXPECT_THAT(error_of(row), HasSubstr("cannot be told"));
  row = coded("a");
  row["codes"] = "codes.bin";
  EXPECT_THAT(error_of(row), HasSubstr("file.safetensors#key"));
}

TEST_F(PrepTest, AVoiceThatIsNotThereIsNamed) {
  Json row = coded("a");
  row["ref"] = "nobody";
  config_.data.source = write_rows({row, coded("b")});
  EXPECT_THAT(refused(), HasSubstr("'nobody'"));
  row["ref"] = "voice:nobody";
  config_.data.source = write_rows({row, coded("b")});
  EXPECT_THAT(message_of<UsageError>([&] { prepare(); }), HasSubstr("neutral_female"));
}

TEST_F(PrepTest, FramesWithoutSpeechWeighLess) {
  std::vector<float> wave(40 * 1920, 0.0f);
  for (size_t i = 0; i < 4 * 1920; ++i) wave[i] = 0.5f;
  for (size_t i = 7 * 1920; i < 9 * 1920; ++i) wave[i] = 0.1f;
  const auto weights = silence_weights(wave, 1920, 0.25);
  ASSERT_EQ(weights.size(), 40u);
  EXPECT_EQ(weights[3], 1);
  EXPECT_EQ(weights[4], 0.25);
  EXPECT_EQ(weights[8], 1);
  EXPECT_EQ(weights[9], 0) << "31 frames of silence";
  options().silence_weight = 0.5;
  EXPECT_EQ(prepare()[0].row["weight"].size(), 15u);
}

// The ways to codes of a release without an encoder, on a checkpoint as ttsft_fixture makes it.
class TinyRelease : public PrepTest {
 protected:
  TinyRelease() {
    auto files = fixture_files(FixtureSize::kTiny);
    std::erase_if(files, [](const FixtureFile& file) { return file.encoder; });
    write_fixture(files, folder_ / "tiny", 1);
    config_.checkpoint = folder_ / "tiny";
    config_.accept_license = "cc-by-nc-4.0";
    torch::manual_seed(4);
    const CodecConfig codec = read_config(config_.checkpoint).codec;
    codes_ = torch::cat({torch::randint(0, codec.semantic_codes, {9, 1}),
                         torch::randint(0, codec.levels, {9, codec.acoustic_dim})},
                        1);
  }
  torch::Tensor prepared_codes() {
    return codes_of_row(prepare()[0].row["codes"], read_config(config_.checkpoint), {}, "");
  }

  torch::Tensor codes_;  // [9, 9]
};

TEST_F(TinyRelease, CodesBehindAVoiceAreFoundExactly) {
  save_tensors(folder_ / "voice.safetensors", {{"codes", codes_}});
  config_.data.reference = folder_ / "voice.safetensors";
  config_.data.speaker = "mine";
  ExportOptions options;
  options.out = folder_ / "with-voice";
  options.checkpoints = {"base"};
  run_export(config_, find_model("voxtral"), options);
  config_.checkpoint = options.out;
  config_.data.reference.clear();
  config_.data.source = write_rows({{{"id", "x"}, {"text", "a"}, {"codes", "voice:mine"}}});
  expect_equal(prepared_codes(), codes_);
  // A voice that is no sum of rows is not taken for one.
  config_.data.source = write_rows({{{"id", "x"}, {"text", "a"}, {"codes", "voice:casual_male"}}});
  EXPECT_THAT(refused() + read_text(config_.data.prepared / "rejected.jsonl"),
              HasSubstr("cannot be told"));
}

TEST_F(TinyRelease, CodesOfARecordingAreFoundByInversion) {
  Codec codec = load_codec(config_.checkpoint, read_config(config_.checkpoint).codec, torch::kCPU);
  const torch::Tensor wave = codec.decode({codes_})[0];
  fs::create_directories(folder_ / "clips");
  write_wav(folder_ / "clips/x.wav", {wave.data_ptr<float>(), static_cast<size_t>(wave.numel())},
            24000, WavFormat::kFloat32);
  folder_.write("clips/x.txt", "a");
  config_.data.source = folder_ / "clips";
  config_.data.guards = {{"clipping", "off"}};
  options().codes = "invert";
  options().invert_steps = 450;
  expect_equal(prepared_codes(), codes_);
}

}  // namespace
}  // namespace ttsft::voxtral::test
