// The fixture's list of names and shapes, which is written out from the specification, against the
// modules and against the counts that upstream's classes have at release size.
#include "models/qwen3_tts/fixture/files.h"

#include <gtest/gtest.h>

#include <set>

#include "models/qwen3_tts/codec_decoder.h"
#include "models/qwen3_tts/codec_encoder.h"
#include "models/qwen3_tts/modules.h"
#include "models/qwen3_tts/speaker_encoder.h"
#include "tests/models/qwen3_tts/fixture.h"
#include "tests/support/temporary_folder.h"
#include "ttsft/io/atomic_file.h"

namespace ttsft::qwen3_tts::test {
namespace {

// Only the text files: a release-size checkpoint would be 4.5 GB.
Config config_of(const std::vector<FixtureFile>& files) {
  const TemporaryFolder folder;
  for (const FixtureFile& file : files) {
    if (!file.text.empty()) folder.write(file.path, file.text);
  }
  return read_config(folder.path());
}

std::map<std::string, Shape> listed(const FixtureFile& file, const std::string& prefix) {
  std::map<std::string, Shape> shapes;
  for (const FixtureTensor& tensor : file.tensors) {
    if (tensor.name.starts_with(prefix)) {
      shapes[tensor.name.substr(prefix.size())] = tensor.shape;
    }
  }
  return shapes;
}

// Every parameter and buffer of the module stands in the list with its shape; the rest of the list
// is what the module says it leaves unused.
void expect_fits(const torch::nn::Module& module, const FixtureFile& file,
                 const std::string& prefix, const std::map<std::string, std::string>& unused) {
  auto shapes = listed(file, prefix);
  const auto check = [&](const std::string& name, const torch::Tensor& tensor) {
    ASSERT_TRUE(shapes.count(name)) << prefix << name;
    EXPECT_EQ(shapes[name], tensor.sizes().vec()) << prefix << name;
    shapes.erase(name);
  };
  for (const auto& item : module.named_parameters()) check(item.key(), item.value());
  for (const auto& item : module.named_buffers()) check(item.key(), item.value());
  for (const auto& [name, shape] : shapes) {
    const std::string full = prefix + name;
    const bool known = std::any_of(unused.begin(), unused.end(),
                                   [&](const auto& one) { return full.starts_with(one.first); });
    EXPECT_TRUE(known) << full << " belongs to no module";
  }
}

std::pair<int64_t, int64_t> count(const FixtureFile& file) {
  int64_t values = 0;
  for (const FixtureTensor& tensor : file.tensors) values += shape_size(tensor.shape);
  return {static_cast<int64_t>(file.tensors.size()), values};
}

class FixtureModules : public testing::TestWithParam<FixtureSize> {};

TEST_P(FixtureModules, NamesAndShapesAreTheModules) {
  const auto files = fixture_files(GetParam());
  const Config config = config_of(files);
  expect_fits(*Talker(config.talker), files[0], "talker.", {});
  expect_fits(*SpeakerEncoder(config.speaker_encoder), files[0], "speaker_encoder.", {});
  expect_fits(*CodecEncoder(config.codec), files[1], "encoder.",
              CodecEncoderImpl::unused_tensors(config.codec));
  expect_fits(*CodecDecoder(config.codec), files[1], "decoder.",
              CodecDecoderImpl::unused_tensors());
}

INSTANTIATE_TEST_SUITE_P(Sizes, FixtureModules,
                         testing::Values(FixtureSize::kTiny, FixtureSize::kRelease));

TEST(Fixture, HasTheReleasesTensorsAndValues) {
  const auto files = fixture_files(FixtureSize::kRelease);
  EXPECT_EQ(count(files[0]), (std::pair<int64_t, int64_t>(480, 1928677440)));
  EXPECT_EQ(count(files[1]), (std::pair<int64_t, int64_t>(496, 170557441)));
}

}  // namespace
}  // namespace ttsft::qwen3_tts::test
