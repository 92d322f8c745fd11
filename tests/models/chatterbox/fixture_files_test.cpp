// The fixture's list of names and shapes, which is written out from the specification, against
// upstream's files and against the sizes that upstream's classes have at release size.
#include "models/chatterbox/fixture/files.h"

#include <gtest/gtest.h>

#include <set>

#include "models/chatterbox/acoustic.h"
#include "ttsft/judge/voice_encoder.h"
#include "models/chatterbox/weights.h"
#include "tests/models/chatterbox/chatterbox_fixture.h"
#include "tests/support/fixture_names.h"
#include "ttsft/codec/campplus.h"
#include "ttsft/codec/s3_tokenizer.h"
#include "ttsft/model/fixture.h"

namespace ttsft::chatterbox::test {
namespace {

using ttsft::test::file_of;
using ttsft::test::without_numbers;

// Millions of values under a prefix, without the statistics of batch normalisation.
double millions(const FixtureFile& file, const std::string& prefix = "") {
  int64_t values = 0;
  for (const FixtureTensor& tensor : file.tensors) {
    const bool statistic = tensor.name.find("running_") != std::string::npos ||
                           tensor.name.ends_with("num_batches_tracked");
    if (tensor.name.starts_with(prefix) && !statistic) values += shape_size(tensor.shape);
  }
  return static_cast<double>(values) / 1e6;
}

TEST(FixtureFiles, NamesAreUpstreams) {
  const auto files = fixture_files(FixtureSize::kTiny);
  for (const std::string path : {"t3_cfg.safetensors", "ve.safetensors", "s3gen.safetensors"}) {
    std::set<std::string> ours, upstreams;
    for (const FixtureTensor& tensor : file_of(files, path).tensors)
      ours.insert(without_numbers(tensor.name));
    const auto upstream = fixture().file("checkpoint/" + path);
    for (const TensorView& view : upstream->tensors()) upstreams.insert(without_numbers(view.name));
    EXPECT_EQ(ours, upstreams) << path;
  }
}

TEST(FixtureFiles, TheReleaseHasItsSize) {
  const auto files = fixture_files(FixtureSize::kRelease);
  const FixtureFile &t3 = file_of(files, "t3_cfg.safetensors"),
                    &ve = file_of(files, "ve.safetensors"),
                    &s3gen = file_of(files, "s3gen.safetensors");
  EXPECT_EQ(t3.tensors.size(), 292u);
  EXPECT_EQ(ve.tensors.size(), 16u);
  EXPECT_EQ(s3gen.tensors.size(), 2488u) << "2490 with the tokenizer's two buffers";
  EXPECT_NEAR(millions(t3), 532.4, 0.05);
  EXPECT_NEAR(millions(t3, "tfmr."), 503.4, 0.05);
  EXPECT_NEAR(millions(t3, "cond_enc."), 4.50, 0.005);
  EXPECT_NEAR(millions(ve), 1.42, 0.005);
  EXPECT_NEAR(millions(s3gen, "tokenizer."), 123.7, 0.05);
  EXPECT_NEAR(millions(s3gen, "speaker_encoder."), 6.85, 0.005);
  EXPECT_NEAR(millions(s3gen, "flow."), 112.5, 0.05);
  EXPECT_NEAR(millions(s3gen, "mel2wav."), 20.8, 0.05);
}

TEST(FixtureFiles, LoadStrictly) {
  const TemporaryFolder folder;
  const std::filesystem::path checkpoint = folder / "checkpoint";
  write_fixture(fixture_files(FixtureSize::kTiny), checkpoint, 1);
  const Config config = read_config(checkpoint);
  load_t3(checkpoint, config.t3, torch::kCPU, torch::kFloat32);
  load_voice_encoder(open_weights(checkpoint, "ve"), torch::kCPU);
  const auto s3gen = open_weights(checkpoint, "s3gen");
  load_s3_tokenizer(s3gen, "tokenizer.", config.tokenizer_heads, torch::kCPU);
  load_campplus(s3gen, "speaker_encoder.", torch::kCPU);
  Acoustic(s3gen, config.decoder_heads, config.decoder_head_dim, {}, torch::kCPU);
}

}  // namespace
}  // namespace ttsft::chatterbox::test
