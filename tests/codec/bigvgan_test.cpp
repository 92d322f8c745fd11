#include "ttsft/codec/bigvgan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "tests/support/model_fixture.h"
#include "tests/support/random_weights.h"
#include "tests/support/temporary_folder.h"
#include "ttsft/core/error.h"
#include "ttsft/io/json_reader.h"
#include "ttsft/io/torch_file.h"

namespace ttsft {
namespace {

using test::expect_close;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr const char* kFolder = "checkpoint/hf_cache/bigvgan/";

const test::ModelFixture& fixture() {
  static const test::ModelFixture fixture("indextts2");
  return fixture;
}

class BigVganTest : public ::testing::Test {
 protected:
  BigVganTest()
      : file_(open_tensor_file(fixture().path(std::string(kFolder) + "bigvgan_generator.pt"))),
        options_(read_bigvgan_options(fixture().path(std::string(kFolder) + "config.json"))),
        vocoder_(load_bigvgan(file_, options_, torch::kCPU)) {}

  static torch::Tensor synth(const std::string& name) { return fixture().expected("synth", name); }
  static torch::Tensor recording(const std::string& name) {
    const auto wave = decode_audio(fixture().path("expected/synth_" + name + ".wav"));
    return torch::tensor(wave.audio.samples);
  }

  c10::InferenceMode inference_mode_;
  std::shared_ptr<const TensorFile> file_;
  BigVganOptions options_;
  BigVgan vocoder_{nullptr};
};

TEST_F(BigVganTest, StagesAreUpstreams) {
  std::map<std::string, torch::Tensor> stages;
  vocoder_(synth("fixed.mel").unsqueeze(0), Rows(),
           [&](std::string_view stage, const torch::Tensor& result) {
             stages[std::string(stage)] = result[0];
           });
  for (const auto& [stage, name] : {std::pair{"conv_pre", "conv_pre"}, std::pair{"ups0", "ups0"},
                                    std::pair{"act0", "act0"}, std::pair{"stage0", "stage0_out"}}) {
    const torch::Tensor expected = fixture().expected("layers", std::string("vocoder.") + name);
    expect_close(stages[stage].narrow(0, 0, expected.size(0)).narrow(1, 0, expected.size(1)),
                 expected, 2e-5, stage);
  }
}

TEST_F(BigVganTest, WavesAreUpstreams) {
  EXPECT_EQ(options_.samples_per_frame(), 256);
  for (const auto& [name, mel] :
       {std::pair{"fixed", synth("fixed.mel")}, std::pair{"greedy", synth("greedy.vocoder_in")}}) {
    const torch::Tensor wave = vocoder_(mel.unsqueeze(0))[0];
    ASSERT_EQ(wave.size(0), mel.size(1) * 256);
    expect_close(wave, recording(name), 1e-4, name);
  }
}

TEST_F(BigVganTest, RowsOfABatchAreIndependent) {
  const torch::Tensor mel = synth("fixed.mel").unsqueeze(0);
  expect_close(vocoder_(torch::cat({mel * 0.5, mel}))[1], vocoder_(mel)[0], 1e-5);
}

TEST_F(BigVganTest, RowsOfUnequalLengthEqualTheRowsAlone) {
  const torch::Tensor mel = synth("fixed.mel");
  const RowLengths lengths = {mel.size(1), 9, 1};
  torch::Tensor batch = torch::stack({mel, mel.roll(3, 1), mel.roll(7, 1)});
  zero_beyond_(batch, lengths);
  const torch::Tensor waves = vocoder_(batch, Rows(lengths, mel.size(1), torch::kCPU));
  for (int64_t b = 0; b < 3; ++b) {
    const torch::Tensor alone = vocoder_(batch[b].narrow(1, 0, lengths[b]).unsqueeze(0))[0];
    expect_close(waves[b].narrow(0, 0, alone.size(0)), alone, 1e-5, std::to_string(b));
  }
}

TEST_F(BigVganTest, FoldedWeightsLoadToo) {
  const TemporaryFolder folder;
  std::vector<std::pair<std::string, torch::Tensor>> folded;
  for (const auto& item : vocoder_->named_parameters())
    folded.emplace_back(item.key(), item.value());
  for (const auto& item : vocoder_->named_buffers()) folded.emplace_back(item.key(), item.value());
  save_tensors(folder / "folded.safetensors", folded);
  BigVgan same =
      load_bigvgan(open_tensor_file(folder / "folded.safetensors"), options_, torch::kCPU);
  const torch::Tensor mel = synth("fixed.mel").unsqueeze(0);
  expect_close(same(mel), vocoder_(mel), 0);
}

// Up by inserting zeros and the whole filter, down by the filter and every second sample: the
// definition, on a signal that is shorter than the filter, too.
TEST(AntiAliasedSnake, EqualsItsDefinition) {
  AntiAliasedSnake snake(3);
  test::randomize(*snake);
  {
    torch::NoGradGuard no_grad;
    for (auto& item : snake->named_buffers()) item.value().copy_(test::random({1, 1, 12}, 3, 0.3));
    snake->named_buffers()["upsample.filter"].mul_(0.7);
  }
  const torch::Tensor up = snake->named_buffers()["upsample.filter"].expand({3, 1, 12});
  const torch::Tensor down = snake->named_buffers()["downsample.lowpass.filter"].expand({3, 1, 12});
  SnakeBeta act(3);
  {
    torch::NoGradGuard no_grad;
    act->alpha.copy_(snake->named_parameters()["act.alpha"]);
    act->beta.copy_(snake->named_parameters()["act.beta"]);
  }
  const int64_t none = 0;  // padding
  for (const int64_t time : {1, 2, 5, 40}) {
    const torch::Tensor x = test::random({2, 3, time}, 8);
    torch::Tensor y = torch::replication_pad1d(x, {5, 5});
    y = 2 * torch::conv_transpose1d(y, up, {}, 2, 0, 0, 3);
    y = y.narrow(-1, 15, 2 * time);
    y = torch::replication_pad1d(act(y), {5, 6});
    expect_close(snake(x), torch::conv1d(y, down, {}, 2, none, 1, 3), 1e-5, std::to_string(time));
  }
}

TEST(BigVganOptions, RefusesVariants) {
  const TemporaryFolder folder;
  const auto good = read_json_object(fixture().path(std::string(kFolder) + "config.json"));
  const auto refused = [&](const char* key, const nlohmann::ordered_json& value) {
    auto json = good;
    json[key] = value;
    folder.write("config.json", json.dump());
    return message_of<DataError>([&] { read_bigvgan_options(folder / "config.json"); });
  };
  EXPECT_THAT(refused("resblock", "2"), AllOf(HasSubstr("resblock"), HasSubstr("config.json")));
  EXPECT_THAT(refused("activation", "snake"), HasSubstr("activation"));
  EXPECT_THAT(refused("snake_logscale", false), HasSubstr("snake_logscale"));
  EXPECT_THAT(refused("resblock_dilation_sizes", {{1, 3}}), HasSubstr("one list for each"));
  EXPECT_THAT(refused("upsample_kernel_sizes", {8, 8}), HasSubstr("one number for each"));
  EXPECT_THAT(refused("upsample_rates", {4, 4, 3, 2, 2, 2}),
              HasSubstr("a 4 for an upsampling by 3"));
  EXPECT_THAT(refused("upsample_initial_channel", 96), HasSubstr("halved"));
}

}  // namespace
}  // namespace ttsft
