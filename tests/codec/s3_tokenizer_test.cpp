#include "ttsft/codec/s3_tokenizer.h"

#include <gtest/gtest.h>

#include <map>

#include "tests/support/model_fixture.h"
#include "tests/support/relative_test.h"
#include "ttsft/core/error.h"
#include "ttsft/io/json_reader.h"

namespace ttsft {
namespace {

using test::expect_close;
using test::expect_equal;
using test::expect_near;

const test::ModelFixture kFixture("chatterbox");
constexpr const char* kPrefix = "tokenizer.";
const std::vector<std::string> kClips = {"a", "b", "c"};

int64_t dimension(const std::string& name) {
  return read_json_object(kFixture.path("checkpoint/ttsft_dims.json")).at(name).get<int64_t>();
}

std::shared_ptr<const TensorFile> weights() {
  return kFixture.file("checkpoint/s3gen.safetensors");
}

S3Tokenizer load(const std::shared_ptr<const TensorFile>& file = weights()) {
  return load_s3_tokenizer(file, kPrefix, dimension("s3tokenizer.n_audio_head"), torch::kCPU);
}

torch::Tensor wave(const std::string& clip) {
  return torch::tensor(kFixture.audio(clip).samples);
}

torch::Tensor joined_clips() {
  return torch::cat({wave("a"), wave("b"), wave("c")});
}

// A list of codes, or samples.
torch::Tensor golden(const std::string& name) {
  const torch::Tensor values = kFixture.expected("prep", name).flatten();
  return values.is_floating_point() ? values : values.to(torch::kInt64);
}

torch::Tensor encode(S3Tokenizer& tokenizer, const torch::Tensor& samples, int64_t max_codes = 0) {
  return tokenizer->encode({samples}, max_codes).front();
}

// Decisions of these lists lie as near as 6e-5 to the border between two levels.
void expect_codes_but_one(const torch::Tensor& codes, const torch::Tensor& expected) {
  ASSERT_EQ(codes.sizes(), expected.sizes());
  EXPECT_LE(codes.ne(expected).sum().item<int64_t>(), 1);
}

TEST(S3Tokenizer, LogMelIsUpstreams) {
  expect_near(load()->log_mel({wave("a")}).front(), kFixture.expected("prep", "a.s3_log_mel"),
              1e-4);
}

TEST(S3Tokenizer, StagesAreUpstreams) {
  S3Tokenizer tokenizer = load();
  std::map<std::string, torch::Tensor> seen;
  tokenizer->set_probe([&](std::string_view stage, const torch::Tensor& x) {
    seen[std::string(stage)] = x.clone();
  });
  encode(tokenizer, wave("a"));
  seen["project_down"] = seen["project_down"].flatten(0, 1);
  int64_t compared = 0;
  for (const TensorView& view : kFixture.file("expected/layers.safetensors")->tensors()) {
    if (!view.name.starts_with("s3tok.")) continue;
    const std::string stage = view.name.substr(6);
    ASSERT_TRUE(seen.count(stage)) << stage;
    expect_near(seen[stage], kFixture.expected("layers", view.name), 1e-4, stage);
    ++compared;
  }
  EXPECT_GE(compared, 4);
}

TEST(S3Tokenizer, CodesAreUpstreams) {
  S3Tokenizer tokenizer = load();
  for (const std::string& clip : kClips) {
    expect_equal(encode(tokenizer, wave(clip)), golden(clip + ".speech_codes"), clip);
  }
}

TEST(S3Tokenizer, CodesOfPromptsAreUpstreams) {
  S3Tokenizer tokenizer = load();
  constexpr int64_t kSamples = 3 * kS3SampleRate;
  const int64_t most = dimension("t3.speech_cond_prompt_len");
  for (const std::string& clip : kClips) {
    const torch::Tensor samples = wave(clip), start = samples.slice(0, 0, kSamples);
    const torch::Tensor padded = torch::constant_pad_nd(start, {0, kSamples - start.size(0)});
    expect_equal(encode(tokenizer, padded), golden(clip + ".prompt_tokens_3s_padded_audio"), clip);
    // Here zeros are put behind the codes.
    const torch::Tensor codes = encode(tokenizer, start, most);
    expect_equal(torch::constant_pad_nd(codes, {0, most - codes.size(0)}),
                 golden(clip + ".prompt_tokens_maxlen_zero_padded"), clip);
  }
  const torch::Tensor reference = golden("ref.wav16k_soxr_hq");
  expect_equal(encode(tokenizer, reference, most), golden("ref.t3.cond_prompt_speech_tokens"));
  expect_equal(encode(tokenizer, golden("ref.wav16k_sinc_hann")), golden("ref.gen.prompt_token"));
}

TEST(S3Tokenizer, LongClipsAreUpstreams) {
  S3Tokenizer tokenizer = load();
  const torch::Tensor joined = joined_clips();
  expect_codes_but_one(encode(tokenizer, joined), golden("concat.speech_codes"));
  const torch::Tensor expected = golden("tiled31s.speech_codes");
  const int64_t samples = expected.size(0) * 640;
  const torch::Tensor tiled = joined.repeat({samples / joined.size(0) + 1}).narrow(0, 0, samples);
  expect_codes_but_one(encode(tokenizer, tiled), expected);
}

// However clips are batched: what each gives alone.
TEST(S3Tokenizer, EachClipOfABatchEqualsTheClipAlone) {
  S3Tokenizer tokenizer = load();
  const torch::Tensor speech = joined_clips();
  std::vector<torch::Tensor> waves;
  for (const int64_t length : {201L, 320L, 799L, 960L, 1441L, 6403L, 9999L, 16000L, 201L}) {
    waves.push_back(speech.narrow(0, length, length));
  }
  for (const std::string& clip : kClips) waves.push_back(wave(clip));
  const std::vector<torch::Tensor> together = tokenizer->encode(waves);
  ASSERT_EQ(together.size(), waves.size());
  for (size_t i = 0; i < waves.size(); ++i) {
    const std::string what = std::to_string(waves[i].size(0)) + " samples";
    EXPECT_EQ(together[i].size(0), (waves[i].size(0) / 160 + 3) / 4) << what;
    expect_equal(together[i], encode(tokenizer, waves[i]), what);
  }
}

// The stages behind the codes, whose rounding could hide a leak.
TEST(S3Tokenizer, PaddingIsNotHeard) {
  S3Tokenizer tokenizer = load();
  torch::Tensor seen;
  tokenizer->set_probe([&](std::string_view stage, const torch::Tensor& x) {
    if (stage == "project_down") seen = x.clone();
  });
  const torch::Tensor mel = tokenizer->log_mel({joined_clips()}).front();
  const RowLengths frames = {180, 7, 1, 42, 43, 179};
  const torch::Tensor batch = mel.narrow(1, 0, 180).expand({6, -1, -1}).contiguous();
  RowLengths lengths = frames;
  const torch::Tensor codes = tokenizer->quantize(batch, lengths);
  const torch::Tensor together = seen;
  for (int64_t i = 0; i < 6; ++i) {
    const int64_t length = frames[static_cast<size_t>(i)];
    const std::string what = std::to_string(length) + " frames";
    RowLengths own = {length};
    const torch::Tensor alone =
        tokenizer->quantize(mel.narrow(1, 0, length).unsqueeze(0).contiguous(), own)[0];
    EXPECT_EQ(own[0], ((length + 1) / 2 + 1) / 2) << what;
    EXPECT_EQ(lengths[static_cast<size_t>(i)], own[0]) << what;
    expect_close(together[i].narrow(0, 0, own[0]), seen[0], 1e-4, what);
    expect_equal(codes[i].narrow(0, 0, own[0]), alone, what);
    EXPECT_EQ(codes[i].narrow(0, own[0], 45 - own[0]).abs().sum().item<int64_t>(), 0) << what;
  }
}

// Windows of 3000 frames every 2600. Their inner halves of the overlaps make the whole.
TEST(S3Tokenizer, WindowsOfLongClips) {
  S3Tokenizer tokenizer = load();
  const torch::Tensor joined = joined_clips();
  const int64_t frames = 5500;  // a third window would begin in the last 3 s and end with the clip
  const torch::Tensor samples =
      joined.repeat({frames * 160 / joined.size(0) + 1}).narrow(0, 0, frames * 160);
  const torch::Tensor codes = encode(tokenizer, samples);
  ASSERT_EQ(codes.size(0), frames / 4);
  const torch::Tensor mel = tokenizer->log_mel({samples}).front();
  const auto window = [&](int64_t start, int64_t length) {
    RowLengths lengths = {length};
    return tokenizer->quantize(mel.narrow(1, start, length).unsqueeze(0), lengths)[0];
  };
  const torch::Tensor first = window(0, 3000), second = window(2600, 2900);
  expect_codes_but_one(codes, torch::cat({first.narrow(0, 0, 700), second.narrow(0, 50, 675)}));
}

TEST(S3Tokenizer, QuantiserCountsInBaseThree) {
  S3Quantizer quantizer(2, 3);
  c10::InferenceMode guard;
  auto parameters = quantizer->named_parameters();
  parameters["project_down.weight"].copy_(
      torch::tensor({{1.0f, 0.0f}, {0.0f, 1.0f}, {0.0f, 0.0f}}));
  parameters["project_down.bias"].zero_();
  const torch::Tensor x = torch::tensor({{-9.0f, 0.0f}, {0.0f, 9.0f}, {9.0f, 9.0f}, {0.5f, -0.6f}});
  // Digits -1, 0, 1 become 0, 1, 2; tanh(0.5) = 0.46 rounds to 0, tanh(-0.6) = -0.54 to -1.
  expect_equal(quantizer(x, StageProbe()),
               torch::tensor({0 + 3 + 9, 1 + 6 + 9, 2 + 6 + 9, 1 + 9}, torch::kInt64));
}

// Files of the release may hold the front end's numbers.
TEST(S3Tokenizer, FrontEndOfTheFileServes) {
  const MelOptions mel = s3_mel_options();
  const auto with = [&](const torch::Tensor& filters, const torch::Tensor& window) {
    auto file = std::make_shared<DerivedTensors>(weights());
    for (const TensorView& view : weights()->tensors()) file->keep(view);
    const auto add = [&](const std::string& name, const torch::Tensor& values) {
      const auto* data = static_cast<const std::byte*>(values.data_ptr());
      file->add(name, DType::kF32, values.sizes().vec(), {data, data + values.nbytes()});
    };
    add("tokenizer._mel_filters", filters);
    add("tokenizer.window", window);
    file->finish();
    return file;
  };
  const torch::Tensor filters = mel_filterbank(mel), window = torch::hann_window(400, true);
  const torch::Tensor samples = wave("a");
  const torch::Tensor usual = load()->log_mel({samples}).front();
  expect_equal(load(with(filters, window))->log_mel({samples}).front(), usual);
  // 16 times the power: all levels rise by log10(16), a quarter of it is left.
  expect_close(load(with(filters * 16, window))->log_mel({samples}).front(), usual + 0.30103, 1e-5);
  expect_close(load(with(filters, window * 4))->log_mel({samples}).front(), usual + 0.30103, 1e-5);
  EXPECT_THROW(load(with(filters, torch::hann_window(512, true))), DataError);
  EXPECT_THROW(load(with(filters.t().contiguous(), window)), DataError);
}

TEST(S3Tokenizer, WrongUse) {
  S3Tokenizer tokenizer = load();
  EXPECT_THROW(tokenizer->encode({torch::zeros({200})}), DataError);
  EXPECT_THROW(tokenizer->encode({torch::zeros({1, 2000})}), std::logic_error);
  EXPECT_TRUE(tokenizer->encode({}).empty());
  RowLengths lengths = {5, 5};
  EXPECT_THROW(tokenizer->quantize(torch::zeros({1, 128, 8}), lengths), std::logic_error);
  lengths = {9};
  EXPECT_THROW(tokenizer->quantize(torch::zeros({1, 128, 8}), lengths), std::logic_error);
  lengths = {0};
  EXPECT_THROW(tokenizer->quantize(torch::zeros({1, 128, 8}), lengths), std::logic_error);
  EXPECT_THROW(load_s3_tokenizer(weights(), "flow.", 4, torch::kCPU), DataError);
  EXPECT_THROW(load_s3_tokenizer(weights(), kPrefix, 7, torch::kCPU), DataError);
  EXPECT_THROW(load_s3_tokenizer(weights(), kPrefix, 0, torch::kCPU), DataError);
  EXPECT_THROW(tokenizer->set_window(torch::ones({200})), std::logic_error);
  EXPECT_THROW(tokenizer->set_filters(torch::ones({128, 200})), std::logic_error);
}

TEST(S3Tokenizer, ReleaseShapes) {
  const S3Tokenizer tokenizer{S3TokenizerOptions()};
  const auto parameters = tokenizer->named_parameters();
  const auto shape = [&](const std::string& name) { return parameters[name].sizes().vec(); };
  EXPECT_EQ(parameters.size(), 4u + 6 * 16 + 2);
  EXPECT_EQ(shape("encoder.conv1.weight"), (Shape{1280, 128, 3}));
  EXPECT_EQ(shape("encoder.blocks.5.attn.fsmn_block.weight"), (Shape{1280, 1, 31}));
  EXPECT_FALSE(parameters.contains("encoder.blocks.5.attn.key.bias"));
  EXPECT_EQ(shape("encoder.blocks.0.mlp.0.weight"), (Shape{5120, 1280}));
  EXPECT_EQ(shape("quantizer._codebook.project_down.weight"), (Shape{8, 1280}));
}

}  // namespace
}  // namespace ttsft
