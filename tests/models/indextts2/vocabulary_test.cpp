#include "models/indextts2/vocabulary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "models/indextts2/fixture/files.h"
#include "models/indextts2/fixture/text.h"
#include "models/indextts2/stage.h"
#include "models/indextts2/text.h"
#include "tests/models/indextts2/gpt_fixture.h"
#include "tests/support/temporary_folder.h"
#include "ttsft/core/error.h"
#include "ttsft/io/atomic_file.h"
#include "ttsft/model/fixture.h"
#include "ttsft/model/registry.h"

namespace ttsft::indextts2::test {
namespace {

using testing::HasSubstr;

// A tiny checkpoint, and its tokenizer with three pieces more.
class Vocabulary : public testing::Test {
 protected:
  Vocabulary() {
    write_fixture(fixture_files(FixtureSize::kTiny), folder_ / "checkpoint", 1);
    folder_.write("extended.model", fixture_tokenizer({"▁NO", "JQ", "ж"}).model);
    config_ = read_config(folder_ / "checkpoint");
    pieces_ = fixture_tokenizer().pieces;
  }
  UnifiedVoice model() const {
    return load_gpt(open_gpt(config_.gpt_file), config_.gpt, 0.0, torch::kCPU, torch::kFloat32);
  }

  TemporaryFolder folder_;
  Config config_;
  int64_t pieces_ = 0;
};

TEST_F(Vocabulary, NewPiecesStartAsTheirParts) {
  UnifiedVoice grown = model(), old = model();
  EXPECT_EQ(extend_vocabulary(grown, config_.bpe_model, folder_ / "extended.model"), pieces_ + 4);
  const auto tokenizer = SentencePiece::from_file(config_.bpe_model);
  const auto mean = [&](const torch::Tensor& table, const std::vector<std::string>& pieces) {
    return table.index_select(0, torch::tensor(tokenizer.ids(pieces))).mean(0);
  };
  for (const auto& [table, before] :
       {std::pair{grown->text_embedding->weight, old->text_embedding->weight},
        {grown->text_head->weight, old->text_head->weight},
        {grown->text_head->bias, old->text_head->bias}}) {
    ASSERT_EQ(table.size(0), pieces_ + 4);
    expect_equal(table.narrow(0, 0, pieces_), before.narrow(0, 0, pieces_));
    expect_close(table[pieces_], mean(before, {"▁N", "O"}), 1e-6);
    expect_close(table[pieces_ + 1], mean(before, {"J", "Q"}), 1e-6, "a piece within a word");
    const torch::Tensor all = before.narrow(0, 3, pieces_ - 3).mean(0);
    expect_close(table[pieces_ + 2], all, 1e-6, "nothing of it is known");
    expect_close(table[pieces_ + 3], all, 1e-6, "the row that no piece has");
  }
  EXPECT_EQ(extend_vocabulary(grown, config_.bpe_model, folder_ / "extended.model"), pieces_ + 4)
      << "no more rows than once";
}

TEST_F(Vocabulary, MustBeginWithTheReleases) {
  UnifiedVoice gpt = model();
  const auto extend = [&](const std::string& file) {
    return message_of<DataError>(
        [&] { return extend_vocabulary(gpt, config_.bpe_model, folder_ / file); });
  };
  std::string other = fixture_tokenizer({"▁NO"}).model;
  other.replace(other.find("▁E"), 4, "▁Q");
  folder_.write("other.model", other);
  EXPECT_THAT(extend("other.model"), HasSubstr("of bpe.model '▁E'"));
  EXPECT_THAT(extend("gone.model"), HasSubstr("gone.model"));
}

TEST_F(Vocabulary, ATrainedCheckpointHasItAndReadsBack) {
  RunConfig run = default_run("indextts2");
  run.checkpoint = config_.folder;
  run.train.method = "full";
  auto& options = static_cast<Options&>(*run.model_options);
  options.extend_vocabulary = folder_ / "extended.model";
  {
    LmStage stage(ModelContext{run}, {"base", config_.folder});
    stage.save_full(folder_ / "trained", {});
  }
  const Config trained = read_config(folder_ / "trained");
  EXPECT_EQ(trained.gpt.text_vocabulary, pieces_ + 4);
  EXPECT_THAT(read_text(folder_ / "trained/config.yaml"),
              HasSubstr("number_text_tokens: " + std::to_string(pieces_ + 3) + "\n"));
  const TextFrontend text(folder_ / "trained");
  EXPECT_EQ(text.encode("no").front(), pieces_);
  // Its own tokenizer is the extended one: nothing grows any more.
  LmStage again(ModelContext{run}, {"trained", folder_ / "trained", CheckpointKind::kFull});
  run.train.method = "lora";
  EXPECT_THAT(message_of<UsageError>([&] {
                LmStage(ModelContext{run}, {"base", config_.folder});
              }),
              HasSubstr("extend_vocabulary"));
}

TEST(TextTokens, OnlyTheNumberChanges) {
  EXPECT_EQ(with_text_tokens("gpt:\n  number_text_tokens: 12000 \n  number_mel_codes: 8194\n", 7),
            "gpt:\n  number_text_tokens: 7 \n  number_mel_codes: 8194\n");
}

}  // namespace
}  // namespace ttsft::indextts2::test
