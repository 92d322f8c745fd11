// Files of voices, and the codes behind them.
#include "models/voxtral/voices.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/models/voxtral/voxtral_fixture.h"
#include "tests/support/temporary_folder.h"
#include "ttsft/core/error.h"
#include "ttsft/io/json_reader.h"
#include "ttsft/io/torch_file.h"

namespace ttsft::voxtral::test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

TEST(Voices, ThoseOfTheReleaseAreTheirCodesRows) {
  const torch::NoGradGuard no_grad;
  Lm lm = loaded_lm();
  for (const std::string name : {"casual_male", "neutral_female"}) {
    const torch::Tensor rows = read_voice(checkpoint(), lm->config(), name);
    const torch::Tensor codes = expected("prep", "voice." + name + ".codes").to(torch::kInt64);
    expect_close(rows, voice_rows(lm, codes).to(torch::kBFloat16).to(torch::kFloat32), 1e-6, name);
  }
}

TEST(Voices, AnotherOneIsWrittenAsUpstreamReadsIt) {
  const TemporaryFolder folder;
  const Config config = read_config(checkpoint());
  const torch::Tensor rows = torch::randn({9, config.lm.dim});
  write_voice(checkpoint(), folder.path(), "mine", rows);
  fs::copy(checkpoint() / "voice_embedding/casual_male.pt", folder / "voice_embedding");
  const Config again = read_config(folder.path());
  EXPECT_EQ(again.voices.at("mine"), 2);
  expect_equal(read_voice(folder.path(), again, "mine"),
               rows.to(torch::kBFloat16).to(torch::kFloat32));
  EXPECT_EQ(voice_sizes(folder.path()).at("casual_male"), 7);
  auto params = read_json_object(folder / kParamsFile);
  params["multimodal"]["audio_tokenizer_args"]["voice"].erase("mine");
  EXPECT_EQ(params, read_json_object(checkpoint() / kParamsFile));
}

TEST(Voices, NamesThatUpstreamCannotAskForAreRefused) {
  const Config config = read_config(checkpoint());
  for (const char* name : {"Mine", "my voice", "", "casual_male", "../x"})
    EXPECT_THROW(check_voice_name(config, name), UsageError) << name;
  check_voice_name(config, "my_voice-2");
}

TEST(Voices, WrongFilesAreNamed) {
  const TemporaryFolder folder;
  fs::copy(checkpoint(), folder / "release", fs::copy_options::recursive);
  const fs::path release = folder / "release";
  const Config config = read_config(release);
  const auto error = [&](const std::string& name) {
    return message_of<DataError>([&] { read_voice(release, config, name); });
  };
  EXPECT_THAT(message_of<UsageError>([&] { read_voice(release, config, "nobody"); }),
              HasSubstr("neutral_female, casual_male"));
  fs::copy_file(release / "voice_embedding/neutral_female.pt",
                release / "voice_embedding/casual_male.pt", fs::copy_options::overwrite_existing);
  EXPECT_THAT(error("casual_male"), HasSubstr("11 rows, tekken.json says 7"));
  fs::remove(release / "voice_embedding/casual_male.pt");
  EXPECT_THAT(error("casual_male"), HasSubstr("casual_male.pt"));
}

class Recovery : public testing::Test {
 protected:
  // A table as wide as the release's is compared with its 828 acoustic rows.
  Recovery() {
    config_.codec.semantic_codes = 500;
    config_.codec.levels = 21;
    config_.codec.acoustic_dim = 36;
  }
  torch::Tensor random_codes(int64_t frames) const {
    return torch::cat({torch::randint(0, 500, {frames, 1}), torch::randint(0, 21, {frames, 36})},
                      1);
  }
  void expect_recovered(const torch::Tensor& table) const {
    const torch::Tensor codes = random_codes(16);
    const torch::Tensor rows =
        voice_rows(table, codes, config_).to(torch::kBFloat16).to(torch::kFloat32);
    const RecoveredCodes found = recover_codes(rows, table, config_);
    EXPECT_TRUE(found.exact);
    EXPECT_LT(found.residual.max().item<double>(), 4e-3);
    expect_equal(found.codes, codes);
  }

  Config config_;
};

TEST_F(Recovery, CodesOfAWideTableAreExact) {
  torch::manual_seed(1);
  expect_recovered(torch::randn({padded_rows(config_.codebook_rows()), 1024}));
}

// 21 levels on a smooth curve: neighbours are hard to tell apart.
TEST_F(Recovery, LevelsThatLieOnACurveAreToldApart) {
  torch::manual_seed(2);
  torch::Tensor table = torch::randn({padded_rows(config_.codebook_rows()), 1024});
  const torch::Tensor place = torch::linspace(-1, 1, 21).unsqueeze(1);
  for (int64_t book = 1; book <= 36; ++book) {
    torch::Tensor rows = table.narrow(0, config_.row_of(book) + kSpecials, 21);
    const torch::Tensor slope = torch::randn({1, 1024}), bend = torch::randn({1, 1024});
    rows.copy_(place * slope + 0.3 * (3 * place).sin() * bend + 0.05 * rows);
  }
  expect_recovered(table);
}

TEST_F(Recovery, WhatIsNoSumOfRowsIsToldApart) {
  torch::manual_seed(3);
  const torch::Tensor table = torch::randn({padded_rows(config_.codebook_rows()), 1024});
  EXPECT_FALSE(recover_codes(torch::randn({5, 1024}), table, config_).exact);
  // The tiny release is too narrow to tell: nothing is claimed of it.
  const Config tiny = read_config(checkpoint());
  const auto weights = open_weights(checkpoint());
  EXPECT_FALSE(recover_codes(read_voice(checkpoint(), tiny, "casual_male"),
                             copy_tensor(weights->at(kCodebookTable)), tiny)
                   .exact);
}

}  // namespace
}  // namespace ttsft::voxtral::test
