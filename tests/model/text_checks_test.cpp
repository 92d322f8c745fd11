#include "ttsft/model/text_checks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/temporary_folder.h"
#include "ttsft/core/error.h"

namespace ttsft {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(TextChecks, Transcripts) {
  const TextLimits limits{10, "[UNK]", "write it otherwise"};
  EXPECT_NO_THROW(check_transcript(10, 0.05, limits, "row 1"));
  EXPECT_THAT(message_of<DataError>([&] { check_transcript(11, 0, limits, "row 1"); }),
              AllOf(HasSubstr("11 tokens, 10 are possible"), HasSubstr("row 1")));
  EXPECT_THAT(
      message_of<DataError>([&] { check_transcript(10, 0.25, limits, "row 1"); }),
      AllOf(HasSubstr("25 % of the text's tokens are [UNK]"), HasSubstr("write it otherwise")));
}

TEST(TextChecks, PiecesOfSynth) {
  EXPECT_NO_THROW(check_piece(10, 10, "model.key"));
  EXPECT_THAT(message_of<UsageError>([] { check_piece(11, 10, "model.key"); }),
              AllOf(HasSubstr("a piece of text has 11 tokens"), HasSubstr("lower model.key")));
}

}  // namespace
}  // namespace ttsft
