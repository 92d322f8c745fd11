#include "models/chatterbox/upsample_encoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "tests/support/model_fixture.h"
#include "tests/support/random_weights.h"
#include "tests/support/temporary_folder.h"
#include "ttsft/core/error.h"

namespace ttsft::chatterbox {
namespace {

using test::expect_close;
using ::testing::HasSubstr;

class UpsampleEncoderTest : public ::testing::Test {
 protected:
  UpsampleEncoderTest() : file_(fixture_.file("checkpoint/s3gen.safetensors")) {
    const auto options = upsample_encoder_options(*file_, "flow.encoder.");
    encoder_ = UpsampleEncoder(options);
    LoadOptions load;
    load.prefix = "flow.encoder.";
    load_strict(*encoder_, file_, load);
  }

  torch::Tensor embed(const torch::Tensor& codes) const {  // [T] -> [T, D]
    return copy_tensor(file_->at("flow.input_embedding.weight")).index_select(0, codes);
  }

  c10::InferenceMode inference_mode_;
  test::ModelFixture fixture_{"chatterbox"};
  std::shared_ptr<const TensorFile> file_;
  UpsampleEncoder encoder_{nullptr};
};

TEST_F(UpsampleEncoderTest, StagesAreUpstreams) {
  const torch::Tensor codes = torch::cat({fixture_.expected("prep", "ref.gen.prompt_token")[0],
                                          fixture_.expected("synth", "text.codes")});
  std::map<std::string, torch::Tensor> stages;
  encoder_(embed(codes).unsqueeze(0), RowLengths{},
           [&](std::string_view stage, const torch::Tensor& result) {
             stages[std::string(stage)] = result;
           });
  for (const char* stage : {"embed", "pre_lookahead", "block0", "last_block", "up_layer", "out"}) {
    const torch::Tensor expected = fixture_.expected("layers", std::string("flow.enc.") + stage);
    expect_close(stages[stage], expected, 2e-5, stage);
  }
}

TEST_F(UpsampleEncoderTest, RowsOfUnequalLengthComeOutAsAlone) {
  const torch::Tensor codes = torch::randint(0, 6561, {3, 23}, torch::kInt64);
  const torch::Tensor x = torch::stack({embed(codes[0]), embed(codes[1]), embed(codes[2])});
  const RowLengths lengths{23, 9, 1};
  const torch::Tensor y = encoder_(x, lengths);
  ASSERT_EQ(y.size(1), 46);
  for (int64_t b = 0; b < 3; ++b) {
    const int64_t length = lengths[static_cast<size_t>(b)];
    const torch::Tensor alone = encoder_(x.narrow(0, b, 1).narrow(1, 0, length));
    expect_close(y[b].narrow(0, 0, 2 * length), alone[0], 5e-6);
  }
}

TEST(UpsampleEncoder, SizesComeFromShapes) {
  UpsampleEncoderOptions options;
  options.input = 10;
  options.dim = 12;
  options.heads = 3;
  options.ffn = 20;
  options.blocks = 3;
  options.up_blocks = 1;
  options.lookahead = {.dim = 12, .inner = 12, .lookahead = 2, .lookahead_kernel = 5};
  options.factor = 3;
  UpsampleEncoder encoder(options);
  test::randomize(*encoder);
  const TemporaryFolder folder;
  std::vector<std::pair<std::string, torch::Tensor>> tensors;
  for (const auto& item : encoder->named_parameters()) {
    tensors.emplace_back("e." + item.key(), item.value());
  }
  save_tensors(folder / "e.safetensors", tensors);
  const auto read = [&](const char* name) {
    const auto file = SafetensorsReader::open(folder / name);
    return upsample_encoder_options(file, "e.");
  };
  const UpsampleEncoderOptions found = read("e.safetensors");
  EXPECT_EQ(found.input, 10);
  EXPECT_EQ(found.dim, 12);
  EXPECT_EQ(found.heads, 3);
  EXPECT_EQ(found.ffn, 20);
  EXPECT_EQ(found.blocks, 3);
  EXPECT_EQ(found.up_blocks, 1);
  EXPECT_EQ(found.lookahead.lookahead, 2);
  EXPECT_EQ(found.lookahead.lookahead_kernel, 5);
  EXPECT_EQ(found.factor, 3);
  EXPECT_EQ(encoder(test::random({1, 4, 10}, 1)).sizes(), (std::vector<int64_t>{1, 12, 12}));

  for (auto& [name, tensor] : tensors) {
    if (name == "e.encoders.0.self_attn.pos_bias_u") tensor = torch::zeros({5, 4});
  }
  save_tensors(folder / "odd.safetensors", tensors);
  EXPECT_THAT(message_of<DataError>([&] { read("odd.safetensors"); }),
              HasSubstr("a width of 12 has no 5 heads"));
}

}  // namespace
}  // namespace ttsft::chatterbox
