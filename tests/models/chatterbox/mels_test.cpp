#include "models/chatterbox/mels.h"

#include <gtest/gtest.h>

#include "tests/support/model_fixture.h"
#include "tests/support/relative_test.h"

namespace ttsft::chatterbox {
namespace {

TEST(DecoderMel, IsUpstreams) {
  const ttsft::test::ModelFixture fixture("chatterbox");
  const torch::Tensor expected = fixture.expected("prep", "ref.gen.prompt_feat")[0];
  constexpr int64_t kTenSeconds = 240000;  // all that upstream reads of a reference
  const torch::Tensor wave = torch::tensor(fixture.audio("ref").samples).slice(0, 0, kTenSeconds);
  const MelExtractor mel(decoder_mel_options(expected.size(1)));
  ttsft::test::expect_near(mel(wave), expected, 1e-4);
}

TEST(DecoderMel, TwoFramesPerCode) {
  const MelExtractor mel(decoder_mel_options());
  for (const int64_t samples : {960, 1439, 1440, 24000}) {
    EXPECT_EQ(mel(torch::zeros({samples})).size(0), samples / 480) << samples;
  }
}

}  // namespace
}  // namespace ttsft::chatterbox
